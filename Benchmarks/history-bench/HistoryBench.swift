// SPDX-License-Identifier: Apache-2.0
//
// The inner side of the event history's part of `make bench`; scripts/bench_history.py drives it and reports.
//
//     history-bench generate COUNT FILE            records, one a line
//     history-bench ingest COUNT DIR               journal, index, seal; figures as JSON lines
//     history-bench journal COUNT DIR              the journal alone
//     history-bench query COUNT DIR                questions to what `ingest` left, a JSON line each

import EventHistory
import EventJournal
import EventRecord
import Foundation

@main
struct HistoryBench {
    static let seed: UInt64 = 4

    static func main() async throws {
        let arguments = Array(CommandLine.arguments.dropFirst())
        switch (arguments.first, arguments.count) {
        case ("generate", 3): try generate(Int(arguments[1]) ?? 0, arguments[2])
        case ("ingest", 3): try await ingest(Int(arguments[1]) ?? 0, arguments[2])
        case ("journal", 3): try await journal(Int(arguments[1]) ?? 0, arguments[2])
        case ("query", 3): try await query(Int(arguments[1]) ?? 0, arguments[2])
        default:
            print("usage: history-bench generate COUNT FILE | ingest COUNT DIR | journal COUNT DIR | query COUNT DIR")
            exit(2)
        }
    }

    static func generate(_ count: Int, _ path: String) throws {
        guard FileManager.default.createFile(atPath: path, contents: nil),
            let file = FileHandle(forWritingAtPath: path)
        else { throw CocoaError(.fileWriteUnknown) }
        var generator = EventGenerator(seed: seed)
        var lines: [UInt8] = []
        for _ in 0..<count {
            generator.next(to: &lines)
            lines.append(0x0A)
            if lines.count > 4 << 20 {
                try file.write(contentsOf: Data(lines))
                lines.removeAll(keepingCapacity: true)
            }
        }
        try file.write(contentsOf: Data(lines))
        try file.close()
    }

    static func openJournal(_ folder: String) throws -> Journal {
        try FileManager.default.createDirectory(atPath: folder + "/journal", withIntermediateDirectories: true)
        return try Journal.open(
            directory: folder + "/journal", device: POSIXJournalDevice(), limits: JournalLimits(), clock: { 0 })
    }

    static func openHistory(_ folder: String, _ journal: Journal) throws -> History {
        try History.open(
            directory: folder + "/history", journal: journal, limits: HistoryLimits(), device: .posix, clock: { 0 })
    }

    /// Journal and history of so many records, in batches of 2000 as an import takes them. While a batch is indexed the next is
    /// written; what is sealed leaves the journal. What is in memory is told after each million.
    static func ingest(_ count: Int, _ folder: String) async throws {
        let journal = try openJournal(folder)
        let history = try openHistory(folder, journal)
        var batches = Batches(count)
        while let (document, ends) = batches.next() {
            async let indexed: Void = history.catchUp()
            try await append(document, ends, to: journal)
            try await indexed
            guard batches.done % 1_000_000 == 0, batches.done < count else { continue }
            try journal.trim(before: history.status.sealedThrough)
            report([
                ("name", "progress"), ("events", "\(batches.done)"), ("residentMegabytes", "\(residentMegabytes())"),
                ("segments", "\(history.status.segments)"),
            ])
        }
        try await history.catchUp()
        try await history.seal()
        try await history.maintain()
        let (cpu, wall) = batches.costOfOthers
        let size = try folderBytes(folder + "/history")
        report([
            ("name", "ingest"), ("events", "\(count)"), ("recordBytes", "\(batches.bytes / count)"),
            ("cpu", cpu), ("wall", wall),
            ("bytesEach", String(format: "%.1f", Double(size) / Double(count))),
            ("residentMegabytes", "\(residentMegabytes())"), ("segments", "\(history.status.segments)"),
        ])
        await history.close()
        await journal.close()
    }

    /// The journal alone takes the same records.
    static func journal(_ count: Int, _ folder: String) async throws {
        let journal = try openJournal(folder)
        var batches = Batches(count)
        while let (document, ends) = batches.next() {
            try await append(document, ends, to: journal)
            if batches.done % 1_000_000 == 0 { try journal.trim(before: journal.durableNumber) }
        }
        let (cpu, wall) = batches.costOfOthers
        report([("name", "journal"), ("events", "\(count)"), ("cpu", cpu), ("wall", wall)])
        await journal.close()
    }

    private static func append(_ document: [UInt8], _ ends: [Int], to journal: Journal) async throws {
        var entries: [EventEnvelope] = []
        var start = 0
        for end in ends {
            entries.append(
                EventEnvelope(
                    kind: .importedEvent, ownerAccount: EventGenerator.account, record: document[start..<end]))
            start = end
        }
        _ = try await journal.append(byteCounts: entries.map(\.byteCount)) { entries[$0].write(to: $1) }
    }

    /// Records in batches, end to end; and what all but making them costs.
    struct Batches {
        private let count: Int
        private var generator = EventGenerator(seed: seed)
        private(set) var done = 0
        private(set) var bytes = 0
        private var own = Cost()
        private let begun = Cost.now

        init(_ count: Int) { self.count = count }

        mutating func next() -> (document: [UInt8], ends: [Int])? {
            guard done < count else { return nil }
            let before = Cost(cpu: Cost.threadCPUSeconds(), wall: Cost.now.wall)
            var document: [UInt8] = []
            var ends: [Int] = []
            for _ in 0..<min(2000, count - done) {
                generator.next(to: &document)
                ends.append(document.count)
            }
            done += ends.count
            bytes += document.count
            own.cpu += Cost.threadCPUSeconds() - before.cpu
            own.wall += Cost.now.wall - before.wall
            return (document, ends)
        }

        /// Seconds since the begin, as texts.
        var costOfOthers: (cpu: String, wall: String) {
            let now = Cost.now
            return (
                String(format: "%.3f", now.cpu - begun.cpu - own.cpu),
                String(format: "%.3f", now.wall - begun.wall - own.wall)
            )
        }
    }

    /// The questions of docs/performance.md; milliseconds of the first time, and the median of the following.
    static func query(_ count: Int, _ folder: String) async throws {
        let journal = try openJournal(folder)
        let history = try openHistory(folder, journal)
        var generator = EventGenerator(seed: seed)
        var record: [UInt8] = []
        // What a rare user did in the middle of all.
        for index in 0..<count
        where index <= count / 2 || !generator.lastUser.hasSuffix("7") || !generator.lastResource.hasSuffix("-eu") {
            if index > count / 2 + 5000 { break }
            record.removeAll(keepingCapacity: true)
            generator.next(to: &record)
        }
        report([
            ("name", "sample"), ("key", generator.lastKey), ("user", generator.lastUser),
            ("resource", generator.lastResource), ("id", generator.lastID),
        ])
        let lookups: [(String, String)] = [
            ("event name", "name = GetRole"), ("rare access key", "key = \(generator.lastKey)"),
            ("user", "user = \"\(generator.lastUser)\""), ("resource", "resource = \"\(generator.lastResource)\""),
            ("event id", "id = \(generator.lastID)"),
        ]
        for (name, text) in lookups {
            let asked = HistoryQuery(
                ownerAccount: EventGenerator.account, filter: try FilterLanguage.parse(text, now: 0), limit: 50)
            try await time("newest 50 by \(name)", 41) { try await history.search(asked).events.count }
        }
        let counts: [(String, String, [String], Int64?)] = [
            ("count by event name", "", ["eventName"], nil), ("count by hour", "", [], 3600),
            ("top ten principals with errors", "errorCode exists", ["userIdentity.arn"], nil),
            ("count by name and region of one source", "source = s3.amazonaws.com", ["eventName", "region"], nil),
            ("substring of a request parameter", "requestParameters.key ~ *part-1234*", ["eventName"], nil),
        ]
        for (name, text, paths, every) in counts {
            let asked = HistoryQuery(
                ownerAccount: EventGenerator.account, filter: try FilterLanguage.parse(text, now: 0), limit: 1)
            let grouping = EventTally.Grouping(
                paths: try paths.map { try FilterLanguage.path($0) }, intervalSeconds: every)
            try await time(name, name.hasPrefix("substring") ? 3 : 21) {
                let tally = try await history.tally(asked, grouping)
                _ = tally.rows.prefix(10)
                return Int(tally.total)
            }
        }
        report([("name", "resident after all"), ("megabytes", "\(residentMegabytes())")])
        await history.close()
        await journal.close()
    }

    static func time(_ name: String, _ rounds: Int, _ body: () async throws -> Int) async throws {
        var times: [Double] = []
        var found = 0
        let before = Cost.cpuSeconds()
        for _ in 0..<rounds {
            let started = ContinuousClock.now
            found = try await body()
            let elapsed = started.duration(to: .now).components
            times.append(Double(elapsed.seconds) * 1000 + Double(elapsed.attoseconds) / 1e15)
        }
        let cpu = (Cost.cpuSeconds() - before) * 1000 / Double(rounds)
        let warm = times.dropFirst().sorted()
        report([
            ("name", name), ("found", "\(found)"), ("firstMilliseconds", String(format: "%.3f", times[0])),
            ("warmMilliseconds", String(format: "%.3f", warm[warm.count / 2])),
            ("cpuMilliseconds", String(format: "%.3f", cpu)),
        ])
    }

    static func report(_ members: [(String, String)]) {
        print(
            "{" + members.map { "\"\($0.0)\":\(Double($0.1) == nil ? "\"\($0.1)\"" : $0.1)" }.joined(separator: ",")
                + "}")
    }

    static func folderBytes(_ path: String) throws -> Int {
        try FileManager.default.contentsOfDirectory(atPath: path).reduce(0) { sum, name in
            let attributes = try FileManager.default.attributesOfItem(atPath: path + "/" + name)
            return sum + ((attributes[.size] as? NSNumber)?.intValue ?? 0)
        }
    }

    static func residentMegabytes() -> Int {
        guard let status = try? String(contentsOfFile: "/proc/self/status", encoding: .utf8),
            let line = status.split(separator: "\n").first(where: { $0.hasPrefix("VmRSS:") })
        else { return 0 }
        return (line.split(separator: " ").compactMap { Int($0) }.first ?? 0) / 1024
    }
}

/// Seconds of CPU and of the clock on the wall.
struct Cost {
    var cpu = 0.0
    var wall = 0.0

    /// Since the process, and since the machine, began.
    static var now: Cost {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Cost(cpu: cpuSeconds(), wall: Double(time.tv_sec) + Double(time.tv_nsec) / 1e9)
    }

    static func threadCPUSeconds() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    static func cpuSeconds() -> Double {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        return Double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
            + Double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6
    }
}

func power(_ base: Double, _ exponent: Double) -> Double { pow(base, exponent) }

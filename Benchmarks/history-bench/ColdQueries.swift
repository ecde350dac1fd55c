// SPDX-License-Identifier: Apache-2.0

import EventHistory
import EventJournal
import EventRecord
import Foundation

/// Questions asked for the first time: nothing in the history's cache, and nothing of its files in the system's. CPU and bytes
/// read say what a question costs; the time also what else the machine did.
enum ColdQueries {
    static func run(_ lookups: [(name: String, filter: String)], _ folder: String, _ journal: Journal) async throws {
        for (name, text) in lookups {
            var wall: [Double] = []
            var cpu: [Double] = []
            var bytes: [Double] = []
            var found = 0
            for _ in 0..<7 {
                let history = try HistoryBench.openHistory(folder, journal)
                try await history.catchUp()
                dropFromMemory(folder + "/history")
                let asked = HistoryQuery(
                    ownerAccount: EventGenerator.account, filter: try FilterLanguage.parse(text, now: 0), limit: 50)
                let (started, cpuBefore, bytesBefore) = (ContinuousClock.now, Cost.now.cpu, bytesRead())
                found = try await history.search(asked).events.count
                let elapsed = started.duration(to: .now).components
                wall.append(Double(elapsed.seconds) * 1000 + Double(elapsed.attoseconds) / 1e15)
                cpu.append((Cost.now.cpu - cpuBefore) * 1000)
                bytes.append(bytesRead() - bytesBefore)
                await history.close()
            }
            HistoryBench.report([
                ("name", "cold: newest 50 by \(name)"), ("found", "\(found)"),
                ("coldMilliseconds", String(format: "%.2f", median(wall))),
                ("cpuMilliseconds", String(format: "%.2f", median(cpu))),
                ("megabytesRead", String(format: "%.2f", median(bytes) / 1e6)),
            ])
        }
    }

    private static func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }

    /// Asks the system to forget the pages of a folder's files.
    private static func dropFromMemory(_ folder: String) {
        for name in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [] {
            let descriptor = open(folder + "/" + name, O_RDONLY)
            guard descriptor >= 0 else { continue }
            posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED)
            close(descriptor)
        }
    }

    /// Bytes that the process asked files for.
    private static func bytesRead() -> Double {
        let text = (try? String(contentsOfFile: "/proc/self/io", encoding: .utf8)) ?? ""
        return text.split(separator: "\n").first { $0.hasPrefix("rchar:") }.flatMap { Double($0.dropFirst(7)) } ?? 0
    }
}

// SPDX-License-Identifier: Apache-2.0
//
// Why calls were allowed or refused, for the operator alone: events have no field for it.
//
//   DIR/decisions/allowed-<milliseconds since 1970>.jsonl
//   DIR/decisions/refused-<milliseconds since 1970>.jsonl
//
// Each line is one DecisionNote. A file's name says when it was begun; notes lie in it in the order in which they were
// made, a second late at most. Refusals have files of their own, so that no number of allowed calls drives them out.

package import AWSWire
internal import Glibc
package import Identity
package import Logging
internal import Policies
internal import Synchronization

/// Keeps the reasons of decisions, in bounded space, without holding up any call.
///
/// A note waits in memory for `flush`, which the server calls each second; a crash loses those, a full disk refuses them.
/// The event itself never depends on it.
package final class DecisionLog: Sendable {
    package struct Limits: Sendable {
        /// Bytes of a file, beyond which the next one is begun.
        package var fileBytesMax = 16 << 20
        /// Bytes of all files of allowed, and of all files of refused calls; the oldest go first.
        package var bytesMax = 256 << 20
        /// Notes that wait in memory; what comes beyond is not kept.
        package var pendingMax = 20_000
        /// Bytes that must be free on the disk: the last space belongs to the journal.
        package var freeBytesMin: UInt64 = 64 << 20

        package init() {}
    }

    private struct State {
        var pending: [DecisionNote] = []
        var dropped = 0
    }

    private let directory: String
    private let limits: Limits
    private let clock: Clock
    private let logger: Logger
    private let state = Mutex(State())
    /// The names of the files that are written to; held while writing.
    private let current = Mutex<[Kind: String]>([:])

    enum Kind: String, CaseIterable {
        case allowed
        case refused
    }

    /// - Parameter directory: is made when the first note is written.
    package init(directory: String, limits: Limits, clock: @escaping Clock, logger: Logger) {
        self.directory = directory
        self.limits = limits
        self.clock = clock
        self.logger = logger
    }

    /// Takes a note; never waits.
    package func note(_ note: DecisionNote) {
        if case .damagedPolicy(let name) = note.decision.reason {
            logger.error(
                "a stored policy cannot be read, so what it binds is refused; write it anew or restore the catalog",
                metadata: ["policy": "\(name)", "requestID": "\(note.requestID)"])
        }
        state.withLock { state in
            if state.pending.count < limits.pendingMax {
                state.pending.append(note)
            } else {
                state.dropped += 1
            }
        }
    }

    /// Writes what waits. Notes that the disk does not take are lost, which the log says.
    package func flush() {
        let (notes, dropped) = state.withLock { state in
            defer { state = State() }
            return (state.pending, state.dropped)
        }
        if dropped > 0 {
            logger.warning("reasons of decisions were not kept: too many at once", metadata: ["count": "\(dropped)"])
        }
        guard !notes.isEmpty else { return }
        var lines: [Kind: [UInt8]] = [:]
        for note in notes { note.append(to: &lines[note.decision.isAllowed ? .allowed : .refused, default: []]) }
        current.withLock { current in
            guard hasRoom else { return }
            for (kind, bytes) in lines { write(bytes, kind, &current) }
        }
    }

    private var hasRoom: Bool {
        if mkdir(directory, 0o700) != 0, errno != EEXIST { return false }
        var status = statvfs()
        guard statvfs(directory, &status) == 0 else { return false }
        return UInt64(status.f_bavail) * UInt64(status.f_frsize) > limits.freeBytesMin
    }

    private func write(_ bytes: [UInt8], _ kind: Kind, _ current: inout [Kind: String]) {
        let name = current[kind] ?? "\(kind.rawValue)-\(clock().milliseconds).jsonl"
        current[kind] = name
        let path = directory + "/" + name
        let descriptor = Glibc.open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { return tell(path) }
        defer { Glibc.close(descriptor) }
        var written = 0
        while written < bytes.count {
            let count = bytes[written...].withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return tell(path) }
            written += count
        }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_size >= limits.fileBytesMax else { return }
        current[kind] = nil
        removeOldest(kind)
    }

    private func tell(_ path: String) {
        logger.warning(
            "reasons of decisions could not be written",
            metadata: ["file": "\(path)", "cause": "\(String(cString: strerror(errno)))"])
    }

    private func removeOldest(_ kind: Kind) {
        var total = 0
        for file in Self.files(directory).filter({ $0.kind == kind }).reversed() {
            total += file.bytes
            if total > limits.bytesMax { unlink(file.path) }
        }
    }

    // MARK: Reading

    struct File {
        var path: String
        var kind: Kind
        var begun: Int64
        var bytes: Int
    }

    /// All files, the oldest first.
    static func files(_ directory: String) -> [File] {
        guard let stream = opendir(directory) else { return [] }
        defer { closedir(stream) }
        var files: [File] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            let parts = name.split(separator: "-")
            guard parts.count == 2, let kind = Kind(rawValue: String(parts[0])), parts[1].hasSuffix(".jsonl"),
                let begun = Int64(parts[1].dropLast(6))
            else { continue }
            let path = directory + "/" + name
            var status = stat()
            guard stat(path, &status) == 0 else { continue }
            files.append(File(path: path, kind: kind, begun: begun, bytes: Int(status.st_size)))
        }
        return files.sorted { ($0.begun, $0.path) < ($1.begun, $1.path) }
    }

    /// The notes of one call, by the id of its event or of its request, in the order in which they were made.
    ///
    /// - Complexity: reads each file once; at most twice `Limits.bytesMax`.
    package static func notes(of id: String, in directory: String) -> [WireStructure] {
        var found: [WireStructure] = []
        var needle: [UInt8] = []
        WireValue.appendJSONString(id, to: &needle)
        for file in files(directory) {
            for line in lines(with: needle, in: file.path) {
                guard let note = try? WireValue(json: line).asStructure,
                    note["eventID"]?.asString == id || note["requestID"]?.asString == id
                else { continue }
                found.append(note)
            }
        }
        return found.enumerated().sorted { a, b in
            let (x, y) = (a.element["time"]?.asString ?? "", b.element["time"]?.asString ?? "")
            return x == y ? a.offset < b.offset : x < y
        }.map(\.element)
    }

    /// Whether a line begins with these ids: the event's stands first, the request's second.
    private static func isNote(_ line: Slice<UnsafeRawBufferPointer>, of needle: [UInt8]) -> Bool {
        let head = "{\"eventID\":".utf8.count
        // An event's id is a UUID, 36 bytes and its quotes.
        let second = head + 38 + ",\"requestID\":".utf8.count
        return line.dropFirst(head).starts(with: needle) || line.dropFirst(second).starts(with: needle)
    }

    /// The lines of a file that are notes of a call.
    private static func lines(with needle: [UInt8], in path: String) -> [[UInt8]] {
        let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return [] }
        defer { Glibc.close(descriptor) }
        var found: [[UInt8]] = []
        var rest: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            let count = Glibc.read(descriptor, &piece, piece.count)
            guard count > 0 else { return found }
            rest.append(contentsOf: piece[..<count])
            guard let end = rest.lastIndex(of: 0x0A) else { continue }
            rest[...end].withUnsafeBytes { bytes in
                var start = 0
                while start < bytes.count, let end = bytes[start...].firstIndex(of: 0x0A) {
                    if isNote(bytes[start..<end], of: needle) { found.append(Array(bytes[start..<end])) }
                    start = end + 1
                }
            }
            rest.removeFirst(end + 1)
        }
    }
}

extension DataFolder {
    /// Where the reasons of decisions lie.
    package static func decisions(in path: String) -> String { path + "/decisions" }
}

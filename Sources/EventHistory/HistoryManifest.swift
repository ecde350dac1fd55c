// SPDX-License-Identifier: Apache-2.0
//
// The manifest says which files are the history. Each is a file of its own, `SERIAL.manifest` (twenty digits), written whole;
// the one with the highest serial counts. All numbers little endian:
//
//     0  8  "CAIRNMAN"
//     8  4  version 1
//    12  4  entries
//    16  8  serial
//    24     entries, 32 bytes each: first journal number u64, one past the last u64, file id u64 (0: dropped, there is no file),
//           bytes of the file u64
//     -  8  XXH64 of all before
//
// Entries follow one another without gap. A segment's file is `FIRST-NEXT-ID.segment`; its id is the serial of the manifest that
// was the first to name it, so no name is ever used for other bytes.
//
// The order of steps: the new segments are written and flushed, then their folder; the new manifest is written and flushed, then
// the folder; then the old manifest is removed, then the files that only it named. So when the manifest with the highest serial
// is not whole, the one before it is still there, with all its files, if and only if the write was cut off. A manifest whose write
// failed is removed again and the folder flushed, then its segments are removed; where that fails they stay, and it may count at the
// next start. Either way its serial is not used again: a power cut may undo removals, and no name must then stand for other bytes.
// Opening flushes the manifest that counts before anything else is removed: the process that wrote it
// may have ended before it could.

internal import EventRecord

struct HistoryManifest: Sendable {
    struct Entry: Sendable, Equatable {
        var first: UInt64
        var next: UInt64
        /// 0 for a range whose events were dropped.
        var id: UInt64
        var bytes: UInt64

        var fileName: String { "\(pad(first))-\(pad(next))-\(pad(id)).segment" }
    }

    var serial: UInt64
    var entries: [Entry]

    /// One past the last journal number accounted for.
    var next: UInt64 { entries.last?.next ?? 0 }

    private static let magic = Array("CAIRNMAN".utf8)

    static func name(_ serial: UInt64) -> String { "\(pad(serial)).manifest" }

    private static func pad(_ number: UInt64) -> String {
        let digits = String(number)
        return String(repeating: "0", count: 20 - digits.count) + digits
    }

    /// The serial in a manifest's name; nil for a name that is none.
    static func serial(ofName name: String) -> UInt64? {
        guard name.hasSuffix(".manifest"), let serial = UInt64(name.dropLast(9)), self.name(serial) == name else {
            return nil
        }
        return serial
    }

    /// The entry that a segment's name states, without its bytes; nil for a name that is no segment's.
    static func entry(ofName name: String) -> Entry? {
        guard name.hasSuffix(".segment") else { return nil }
        let numbers = name.dropLast(8).split(separator: "-", omittingEmptySubsequences: false).compactMap { UInt64($0) }
        guard numbers.count == 3 else { return nil }
        let entry = Entry(first: numbers[0], next: numbers[1], id: numbers[2], bytes: 0)
        return entry.fileName == name ? entry : nil
    }

    var encoded: [UInt8] {
        var bytes = Self.magic
        bytes.append(littleEndian: UInt32(1))
        bytes.append(littleEndian: UInt32(truncatingIfNeeded: entries.count))
        bytes.append(littleEndian: serial)
        for entry in entries {
            bytes.append(littleEndian: entry.first)
            bytes.append(littleEndian: entry.next)
            bytes.append(littleEndian: entry.id)
            bytes.append(littleEndian: entry.bytes)
        }
        bytes.append(littleEndian: StableHash.xxh64(bytes))
        return bytes
    }

    /// - Throws: `damaged` with the file.
    init(_ bytes: [UInt8], path: String, serial: UInt64) throws(HistoryError) {
        guard bytes.count >= 32, bytes.count % 32 == 0, Array(bytes[..<8]) == Self.magic else {
            throw .damaged("the manifest is not whole", path, at: 0)
        }
        let words = bytes.withUnsafeBytes { raw in stride(from: 8, to: raw.count, by: 8).map { raw.u64($0) } }
        guard StableHash.xxh64(Array(bytes.dropLast(8))) == words.last else {
            throw .damaged("the manifest's checksum is wrong", path, at: UInt64(bytes.count - 8))
        }
        guard words[0] & 0xFFFF_FFFF == 1 else {
            throw HistoryError(
                .damaged, "the manifest has a format that this version cannot read; use the version that wrote it",
                path: path, offset: 8)
        }
        let count = Int(words[0] >> 32)
        guard words[1] == serial, bytes.count == 32 + count * 32 else {
            throw .damaged("the manifest's name or length is not as written", path, at: 12)
        }
        self.serial = serial
        entries = (0..<count).map { index in
            let at = 2 + index * 4
            return Entry(first: words[at], next: words[at + 1], id: words[at + 2], bytes: words[at + 3])
        }
        var end: UInt64 = 0
        for entry in entries {
            guard entry.first == end, entry.next > entry.first else {
                throw .damaged("the manifest's ranges do not follow one another", path, at: 24)
            }
            end = entry.next
        }
    }

    init(serial: UInt64, entries: [Entry]) {
        self.serial = serial
        self.entries = entries
    }

    /// The manifest with some entries, which follow one another, put in place of others of the same range (or added at the end).
    func replacing(_ old: Range<Int>, by entries: [Entry]) -> HistoryManifest {
        var result = self
        result.serial += 1
        result.entries.replaceSubrange(old, with: entries)
        // Dropped neighbours become one.
        var kept: [Entry] = []
        for entry in result.entries {
            if entry.id == 0, let last = kept.last, last.id == 0 {
                kept[kept.count - 1].next = entry.next
            } else {
                kept.append(entry)
            }
        }
        result.entries = kept
        return result
    }

    // MARK: On disk

    /// Reads the manifest that counts; an empty one when there is none.
    ///
    /// - Parameter names: what is in the folder.
    /// - Throws: `damaged` with the file; a write that was cut off is no damage.
    static func read(_ directory: String, names: [String]) throws(HistoryError) -> HistoryManifest {
        let serials = names.compactMap(serial(ofName:)).sorted()
        guard let newest = serials.last else {
            // The first seal of all may have been cut off before its manifest: then the journal has every event still, and what
            // there is of the segment is left over. Where the journal does not, opening fails for that.
            if let segment = names.first(where: { name in entry(ofName: name).map { $0.first != 0 } ?? false }) {
                throw HistoryError(
                    .missing, "there are segments and no manifest; restore the manifest",
                    path: directory + "/" + segment)
            }
            return HistoryManifest(serial: 0, entries: [])
        }
        let path = directory + "/" + name(newest)
        do throws(HistoryError) {
            return try HistoryManifest(try HistoryFiles.content(path), path: path, serial: newest)
        } catch {
            guard error.code == .damaged else { throw error }
            // Before it there may be another that failed and could not be removed.
            for before in serials.dropLast().reversed() {
                let path = directory + "/" + name(before)
                if let found = try? HistoryManifest(try HistoryFiles.content(path), path: path, serial: before) {
                    return found
                }
            }
            // The first of all may have been cut off too; then nothing else is there, but for what the tries left over.
            guard names.allSatisfy({ Self.serial(ofName: $0) != nil || entry(ofName: $0)?.first == 0 }) else {
                throw error
            }
            return HistoryManifest(serial: 0, entries: [])
        }
    }

    /// Writes the manifest; from its return on it counts.
    func write(_ directory: String, _ device: HistoryDevice) throws(HistoryError) {
        var file = try HistoryFileWriter(directory + "/" + Self.name(serial), device)
        try file.write(encoded)
        try file.finish()
        try HistoryFiles.syncFolder(directory, device)
    }

    /// Removes the manifest whose write failed, so that it does not count later, when history has gone another way.
    ///
    /// - Returns: whether it is gone for certain.
    func withdraw(_ directory: String, _ device: HistoryDevice) -> Bool {
        guard device.remove(directory + "/" + Self.name(serial)) == 0 else { return false }
        do throws(HistoryError) { try HistoryFiles.syncFolder(directory, device) } catch { return false }
        return true
    }
}

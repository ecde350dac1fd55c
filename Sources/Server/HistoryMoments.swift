// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// Tells by the names in history's folder what the file that is being written or removed belongs to: a seal, a merge, the
/// rewriting of a segment that has expired in part, or a drop. For the crash tests alone; docs/history-format.md has the names.
enum HistoryMoments {
    static let names: [String] =
        ["seal", "merge", "rewrite"].flatMap { work in
            ["segment.half", "segment.synced", "manifest.half", "manifest.synced"].map { "history.\(work).\($0)" }
        }
        + ["history.drop.manifest.half", "history.drop.manifest.synced"]
        + ["merge", "rewrite", "drop", "leftover"].flatMap { work in
            ["before", "after"].map { "history.\(work).remove.\($0)" }
        }

    private struct Segment {
        var name: String
        var first: UInt64
        var next: UInt64
        var id: UInt64

        init?(_ name: String) {
            guard name.hasSuffix(".segment") else { return nil }
            let numbers = name.dropLast(8).split(separator: "-").compactMap { UInt64($0) }
            guard numbers.count == 3 else { return nil }
            (self.name, first, next, id) = (name, numbers[0], numbers[1], numbers[2])
        }
    }

    private struct Folder {
        var segments: [Segment] = []
        /// Serial of the newest manifest.
        var manifest: UInt64 = 0

        init(_ directory: String) {
            guard let handle = opendir(directory) else { return }
            defer { closedir(handle) }
            while let entry = readdir(handle) {
                let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                    String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
                }
                if let segment = Segment(name) { segments.append(segment) }
                if let serial = Folder.serial(name) { manifest = max(manifest, serial) }
            }
        }

        static func serial(_ name: String) -> UInt64? {
            name.hasSuffix(".manifest") ? UInt64(name.dropLast(9)) : nil
        }

        /// What makes a segment: it stands in place of none, of several, or of a part of one.
        func work(of segment: Segment) -> String {
            let replaced = segments.filter {
                $0.id < segment.id && $0.first < segment.next && segment.first < $0.next
            }
            return replaced.isEmpty ? "seal" : replaced.count == 1 ? "rewrite" : "merge"
        }

        func work(ofManifest serial: UInt64) -> String {
            segments.first { $0.id == serial }.map { work(of: $0) } ?? "drop"
        }
    }

    /// The moment in the midst of a write; nil when the file is none of history's.
    static func writing(_ descriptor: Int32) -> String? { moment(descriptor, "half") }

    /// The moment after a file was flushed; nil for the folder.
    static func synced(_ descriptor: Int32) -> String? { moment(descriptor, "synced") }

    private static func moment(_ descriptor: Int32, _ step: String) -> String? {
        guard let (directory, name) = path(of: descriptor).flatMap(parts(of:)) else { return nil }
        if let segment = Segment(name) { return "history.\(Folder(directory).work(of: segment)).segment.\(step)" }
        guard let serial = Folder.serial(name) else { return nil }
        return "history.\(Folder(directory).work(ofManifest: serial)).manifest.\(step)"
    }

    /// The moments around a removal, without their last word; nil for a manifest.
    static func removing(_ path: String) -> String? {
        guard let (directory, name) = parts(of: path), let segment = Segment(name) else { return nil }
        let folder = Folder(directory)
        if segment.id > folder.manifest { return "history.leftover.remove" }
        guard
            let by = folder.segments.first(where: {
                $0.id > segment.id && $0.first < segment.next && segment.first < $0.next
            })
        else { return "history.drop.remove" }
        // The last of the segments that a merge replaces would look like one that is rewritten: the range tells them apart.
        let isMerge = by.first < segment.first || by.next > segment.next
        return isMerge ? "history.merge.remove" : "history.rewrite.remove"
    }

    private static func parts(of path: String) -> (directory: String, name: String)? {
        guard let slash = path.lastIndex(of: "/") else { return nil }
        return (String(path[..<slash]), String(path[path.index(after: slash)...]))
    }

    private static func path(of descriptor: Int32) -> String? {
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/fd/\(descriptor)", &buffer, buffer.count)
        guard count > 0 else { return nil }
        return String(decoding: buffer[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}

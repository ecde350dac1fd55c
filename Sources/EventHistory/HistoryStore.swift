// SPDX-License-Identifier: Apache-2.0

/// The history's folder: which files are there, and how they are replaced (HistoryManifest tells the order of steps).
struct HistoryStore {
    let directory: String
    let device: HistoryDevice
    /// zstd level.
    let level: Int32
    /// The one that counts.
    let manifest: HistoryManifest

    // MARK: Opening

    struct Opened {
        var manifest: HistoryManifest
        var segments: [HistorySegment]
        /// What is in the folder.
        var names: [String]
    }

    /// Opens what the manifest names, making the folder if need be. Keys of segments count from 1.
    static func open(_ directory: String) throws(HistoryError) -> Opened {
        try HistoryFiles.makeDirectory(directory)
        let names = try HistoryFiles.names(directory)
        for name in names
        where HistoryManifest.serial(ofName: name) == nil && HistoryManifest.entry(ofName: name) == nil {
            throw HistoryError(
                .damaged, "this file is no part of event history; move it away", path: directory + "/" + name)
        }
        let manifest = try HistoryManifest.read(directory, names: names)
        var segments: [HistorySegment] = []
        for entry in manifest.entries where entry.id != 0 {
            let path = directory + "/" + entry.fileName
            let segment = try HistorySegment(path, key: UInt64(segments.count) + 1)
            guard segment.first == entry.first, segment.next == entry.next, segment.bytes == entry.bytes else {
                throw .damaged("the segment is another than the manifest names", path, at: 0)
            }
            segments.append(segment)
        }
        return Opened(manifest: manifest, segments: segments, names: names)
    }

    /// Makes the manifest that counts durable: the process that wrote it may have ended before it was flushed, and from now on
    /// what came before is removed and the journal trimmed.
    static func keep(_ opened: Opened, _ directory: String, _ device: HistoryDevice) throws(HistoryError) {
        if opened.manifest.serial > 0 {
            let file = try HistoryFile(directory + "/" + HistoryManifest.name(opened.manifest.serial))
            try file.flush(device)
        }
        if !opened.names.isEmpty { try HistoryFiles.syncFolder(directory, device) }
    }

    /// Removes what steps that were cut off left over.
    static func removeLeftovers(_ opened: Opened, _ directory: String, _ device: HistoryDevice) {
        let kept = Set(opened.manifest.entries.map(\.fileName) + [HistoryManifest.name(opened.manifest.serial)])
        for name in opened.names where !kept.contains(name) { _ = device.remove(directory + "/" + name) }
    }

    // MARK: Changing

    /// What a new segment is made of.
    enum NewSegment {
        case group(GroupView, first: UInt64)
        case merge([HistorySegment])
        /// The events of a segment that have not expired; these may be several segments.
        case kept(of: HistorySegment, HistoryMaintenance)
    }

    struct Change {
        var manifest: HistoryManifest
        var segments: [HistorySegment]
        /// Entries of the manifest before that are no more.
        var replaced: ArraySlice<HistoryManifest.Entry>
    }

    /// Writes new segments, then the manifest that names them in place of some others (nil: behind all; without new ones the
    /// range is dropped).
    ///
    /// - Throws: `HistoryError`; the manifest before counts then.
    func write(
        _ made: [NewSegment], inPlaceOf old: Range<Int>?, keys: () -> UInt64
    ) throws(HistoryError) -> Change {
        // Dropped ranges have entries in the manifest, and are no segments.
        let named = manifest.entries.indices.filter { manifest.entries[$0].id != 0 }
        var range = manifest.entries.count..<manifest.entries.count
        if let old, let first = old.first, let last = old.last { range = named[first]..<named[last] + 1 }
        let replaced = manifest.entries[range]
        var written: [String] = []
        do throws(HistoryError) {
            var entries: [HistoryManifest.Entry] = []
            for new in made { try write(new, &entries, &written, keys) }
            var segments: [HistorySegment] = []
            for index in entries.indices {
                let segment = try HistorySegment(directory + "/" + entries[index].fileName, key: keys())
                entries[index].bytes = segment.bytes
                segments.append(segment)
            }
            if entries.isEmpty, let first = replaced.first, let last = replaced.last {
                entries = [.init(first: first.first, next: last.next, id: 0, bytes: 0)]
            }
            if !written.isEmpty { try HistoryFiles.syncFolder(directory, device) }
            let next = manifest.replacing(range, by: entries)
            do throws(HistoryError) {
                try next.write(directory, device)
            } catch {
                // A manifest that cannot be removed for certain may count at the next start: then what it names must be there.
                if !next.withdraw(directory, device) { written = [] }
                throw error
            }
            return Change(manifest: next, segments: segments, replaced: replaced)
        } catch {
            for path in written { _ = device.remove(path) }
            throw error
        }
    }

    /// The manifest to go on from after a change that failed. Its serial is not used again: what was removed may come back when
    /// power goes, and must not be found with other bytes.
    var manifestAfterFailure: HistoryManifest {
        HistoryManifest(serial: manifest.serial + 1, entries: manifest.entries)
    }

    private func write(
        _ new: NewSegment, _ entries: inout [HistoryManifest.Entry], _ written: inout [String], _ keys: () -> UInt64
    ) throws(HistoryError) {
        func begin(_ first: UInt64, _ next: UInt64) -> String {
            let entry = HistoryManifest.Entry(first: first, next: next, id: manifest.serial + 1, bytes: 0)
            entries.append(entry)
            written.append(directory + "/" + entry.fileName)
            return directory + "/" + entry.fileName
        }
        switch new {
        case .group(let view, let first):
            let path = begin(first, view.next)
            try SegmentWriter.write(view, first: first, next: view.next, to: path, device, level: level)
        case .merge(let segments):
            let path = begin(segments.first?.first ?? 0, segments.last?.next ?? 0)
            try SegmentMerge(segments).write(to: path, device, level: level)
        case .kept(let segment, let maintenance):
            var first = segment.first
            for view in try maintenance.kept(of: segment, keys: keys) {
                let path = begin(first, view.next)
                try SegmentWriter.write(view, first: first, next: view.next, to: path, device, level: level)
                first = view.next
            }
        }
    }

    /// Removes what a change made superfluous; what cannot be removed is left over, and removed at the next start.
    func removeReplaced(by change: Change) {
        _ = device.remove(directory + "/" + HistoryManifest.name(manifest.serial))
        for entry in change.replaced where entry.id != 0 { _ = device.remove(directory + "/" + entry.fileName) }
    }
}

// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// Texts and shapes of a group as a segment has them. Texts lie in parts, each of which is read when a text of it is first asked
/// for: most searches need a few of many.
final class SegmentGroup: GroupTexts, CachedPart, @unchecked Sendable {
    // guarded by: `loading` for whoever loads a part; a part that `isLoaded` says is there never changes.

    private let segment: HistorySegment
    private let number: UInt32
    let secondsBase: Int64
    /// Texts that the group numbers.
    let textCount: Int
    /// Bits of a text's number that are its place in its part.
    private let partBits: Int
    private let partCount: Int
    private let isLoaded: UnsafeMutablePointer<Atomic<Bool>>
    private let lists: UnsafeMutablePointer<TextList?>
    private let shapeMemory: UnsafeMutableRawBufferPointer
    private let shapes: TextList
    private let loading = Mutex(Loading())
    /// As if all parts were there, so that the cache keeps its bound whatever is asked.
    let byteCount: Int

    private struct Loading {
        var memory: [UInt: Int] = [:]
        var failure: HistoryError?
    }

    /// - Throws: `HistoryError.damaged` with the file and the place.
    init(_ segment: HistorySegment, _ number: UInt32) throws(HistoryError) {
        self.segment = segment
        self.number = number
        let places = PartName(kind: .textPlaces, index: number)
        if segment.parts[places] != nil {
            let bytes = try segment.stored(places)
            guard bytes.count == 16 else { throw segment.malformed(places) }
            secondsBase = bytes.withUnsafeBytes { $0.i64(0) }
            textCount = Int(bytes.withUnsafeBytes { $0.u32(8) })
            partBits = Int(bytes.withUnsafeBytes { $0.u32(12) })
            guard (4...32).contains(partBits), textCount <= EventGroup.textsMax else { throw segment.malformed(places) }
            partCount = (textCount + 1 << partBits - 1) >> partBits
        } else {
            // Version 2: one part, with the base time before the texts.
            let name = PartName(kind: .texts, index: number)
            let bytes = try segment.raw(name)
            guard bytes.count >= 12 else { throw segment.malformed(name) }
            secondsBase = bytes.withUnsafeBytes { $0.i64(0) }
            textCount = Int(bytes.withUnsafeBytes { $0.u32(8) })
            partBits = 62
            partCount = 1
        }
        let name = PartName(kind: .shapes, index: number)
        let shapeBytes = try segment.raw(name)
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: max(8, shapeBytes.count), alignment: 8)
        memory.copyBytes(from: shapeBytes)
        guard let shapes = TextList(UnsafeRawBufferPointer(rebasing: memory[..<shapeBytes.count])) else {
            memory.deallocate()
            throw segment.malformed(name)
        }
        shapeMemory = memory
        self.shapes = shapes
        var bytes = shapeBytes.count + partCount * 48
        for part in 0..<partCount { bytes += segment.parts[Self.name(part, number)]?.rawBytes ?? 0 }
        byteCount = bytes
        isLoaded = .allocate(capacity: max(1, partCount))
        for part in 0..<partCount { (isLoaded + part).initialize(to: Atomic(false)) }
        lists = .allocate(capacity: max(1, partCount))
        lists.initialize(repeating: nil, count: partCount)
    }

    deinit {
        loading.withLock { state in
            for (address, _) in state.memory { UnsafeMutableRawPointer(bitPattern: address)?.deallocate() }
        }
        isLoaded.deinitialize(count: partCount)
        isLoaded.deallocate()
        lists.deallocate()
        shapeMemory.deallocate()
    }

    private static func name(_ part: Int, _ group: UInt32) -> PartName {
        PartName(kind: .texts, id: UInt16(truncatingIfNeeded: part), index: group)
    }

    var shapeCount: Int { shapes.count }

    @inline(__always)
    func text(_ number: Int) -> UnsafeRawBufferPointer? {
        let part = number >> partBits
        guard number >= 0, part < partCount else { return nil }
        guard isLoaded[part].load(ordering: .acquiring) || load(part) else { return nil }
        return lists[part]?.text(number & (1 << partBits - 1))
    }

    @inline(__always)
    func shape(_ number: Int) -> UnsafeRawBufferPointer? { shapes.text(number - 1) }

    /// Why a text was last not to be had; nil when it is that there is none of its number.
    var failure: HistoryError? { loading.withLock { $0.failure } }

    private func load(_ part: Int) -> Bool {
        loading.withLock { state in
            if isLoaded[part].load(ordering: .relaxed) { return true }
            let name = Self.name(part, number)
            do throws(HistoryError) {
                let bytes = try segment.raw(name)
                let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: max(8, bytes.count), alignment: 8)
                memory.copyBytes(from: bytes)
                let list = TextList(
                    UnsafeRawBufferPointer(rebasing: memory[..<bytes.count]), at: partBits == 62 ? 8 : 0)
                guard let list else {
                    memory.deallocate()
                    throw segment.malformed(name)
                }
                if let base = memory.baseAddress { state.memory[UInt(bitPattern: base)] = memory.count }
                lists[part] = list
                isLoaded[part].store(true, ordering: .releasing)
                return true
            } catch {
                state.failure = error
                return false
            }
        }
    }
}

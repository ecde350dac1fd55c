// SPDX-License-Identifier: Apache-2.0
//
// How pieces of objects go between memory and their files (ObjectBlocks.swift says how they lie there): a piece is read into
// the buffer that goes to the network, and proven or decrypted in it; the marks of its blocks, tags or checksums, go beside.
// A piece to be written is encrypted where it was gathered.

internal import AWSWire
internal import CCachedRead
internal import Glibc
internal import Keys
internal import NIOCore
internal import Synchronization

// MARK: Reading

extension ObjectFiles {
    /// Reads exactly `count` bytes of the object, each block of them checked.
    ///
    /// - Throws: `ObjectFileError` where the file is shorter than its object or a block is damaged; no byte is handed over
    ///   then.
    func read(_ file: ObjectFile, at offset: Int64, count: Int) async throws(ObjectFileError) -> ByteBuffer {
        try await run(for: file) { () throws(ObjectFileError) in try self.piece(of: file, at: offset, count: count) }
    }

    /// Begins to read, as `read` does, from a file on the disk.
    func beginReading(_ file: ObjectFile, at offset: Int64, count: Int) -> PendingStep<ByteBuffer> {
        begin(file.lane) { () throws(ObjectFileError) in try self.piece(of: file, at: offset, count: count) }
    }

    /// Reads, as `read` does, what needs no waiting for the disk.
    ///
    /// - Returns: nil where the page cache does not have all of it, or the file system cannot tell.
    func readCached(_ file: ObjectFile, at offset: Int64, count: Int) throws(ObjectFileError) -> ByteBuffer? {
        do throws(ObjectFileError) {
            return try piece(of: file, at: offset, count: count, waiting: false)
        } catch {
            guard [EAGAIN, EOPNOTSUPP, ENOSYS].contains(error.number) else { throw error }
            return nil
        }
    }

    private func piece(
        of file: ObjectFile, at offset: Int64, count: Int, waiting: Bool = true
    ) throws(ObjectFileError) -> ByteBuffer {
        let path = path(file.id)
        try check(.readFile, path)
        guard count > 0 else { return ByteBuffer() }
        guard file.layout != ObjectBlocks.bareLayout else { return try bytes(of: file, at: offset, count: count) }
        let block = ObjectBlocks.blockBytes
        let end = offset + Int64(count)
        guard file.key != nil || file.layout == ObjectBlocks.checkedLayout, offset >= 0, end <= file.size else {
            throw ObjectFileError(step: .readFile, path: path, number: ObjectFileError.damaged)
        }
        let first = offset / block
        let beyond = (end - 1) / block + 1
        let bytesCount = Int(min(beyond * block, file.size) - first * block)
        var piece = buffers.take(bytesCount)
        var problem: ObjectFileError?
        piece.writeWithUnsafeMutableBytes(minimumWritableBytes: bytesCount) { space in
            let blocks = UnsafeMutableRawBufferPointer(rebasing: space[..<bytesCount])
            let marksCount = Int(beyond - first) * file.markBytes
            return withUnsafeTemporaryAllocation(byteCount: marksCount, alignment: 16) { marks in
                do throws(ObjectFileError) {
                    try fill(blocks, marks, from: file, first: first, waiting: waiting)
                    guard isProven(blocks, marks, of: file, first: first) else {
                        throw ObjectFileError(step: .readFile, path: path, number: ObjectFileError.damaged)
                    }
                    return bytesCount
                } catch {
                    problem = error
                    return 0
                }
            }
        }
        if let problem {
            buffers.give(piece)
            throw problem
        }
        piece.moveReaderIndex(forwardBy: Int(offset - first * block))
        piece.moveWriterIndex(to: piece.readerIndex + count)
        return piece
    }

    /// Reads blocks as they lie in the file, their marks beside them.
    private func fill(
        _ blocks: UnsafeMutableRawBufferPointer, _ marks: UnsafeMutableRawBufferPointer, from file: ObjectFile,
        first: Int64, waiting: Bool
    ) throws(ObjectFileError) {
        let vectors = interleaved(blocks, marks, markBytes: file.markBytes)
        var position = first * (ObjectBlocks.blockBytes + Int64(file.markBytes))
        if let content = file.content {
            for vector in vectors {
                guard position + Int64(vector.iov_len) <= Int64(content.count), let base = vector.iov_base else {
                    throw ObjectFileError(step: .readFile, path: path(file.id), number: 0)
                }
                UnsafeMutableRawBufferPointer(start: base, count: vector.iov_len)
                    .copyBytes(from: content[Int(position)..<Int(position) + vector.iov_len])
                position += Int64(vector.iov_len)
            }
            return
        }
        try transfer(vectors, at: position, step: .readFile, path: path(file.id)) { vectors, count, position in
            waiting
                ? preadv(file.descriptor, vectors, count, position)
                : ccachedread(file.descriptor, vectors, count, Int64(position))
        }
    }

    /// Whether all blocks are those that were written there; encrypted ones are decrypted.
    private func isProven(
        _ blocks: UnsafeMutableRawBufferPointer, _ marks: UnsafeMutableRawBufferPointer, of file: ObjectFile,
        first: Int64
    ) -> Bool {
        let cipher = file.key?.cipher
        return eachBlock(blocks, marks, markBytes: file.markBytes, first: first) { block, mark, number in
            if let cipher { return cipher.open(block, number: number, tag: UnsafeRawBufferPointer(mark)) }
            return ObjectBlocks.checksum(UnsafeRawBufferPointer(block), number: number, file: file.id)
                .elementsEqual(mark)
        }
    }

    /// The sealed data key that lies at the end of an encrypted file.
    func sealedKey(of file: ObjectFile) throws(ObjectFileError) -> [UInt8] {
        let start = ObjectCipher.sealedBytes(file.size)
        let count = try length(of: file) - start
        guard count > 2, count <= Int64(ObjectBlocks.sealedKeyBytesMax + 2) else {
            throw ObjectFileError(
                step: .readFile, path: path(file.id), number: count > 2 ? ObjectFileError.damaged : 0)
        }
        let trailer = try bytes(of: file, at: start, count: Int(count))
        guard let sealed = ObjectBlocks.sealedKey(in: Array(trailer.readableBytesView)) else {
            throw ObjectFileError(step: .readFile, path: path(file.id), number: ObjectFileError.damaged)
        }
        return sealed
    }

    /// Bytes as they lie in the file.
    func bytes(of file: ObjectFile, at offset: Int64, count: Int) throws(ObjectFileError) -> ByteBuffer {
        if let content = file.content {
            guard offset >= 0, count >= 0, offset + Int64(count) <= Int64(content.count) else {
                throw ObjectFileError(step: .readFile, path: path(file.id), number: 0)
            }
            return ByteBuffer(bytes: content[Int(offset)..<Int(offset) + count])
        }
        var buffer = ByteBufferAllocator().buffer(capacity: count)
        var problem: ObjectFileError?
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: count) { space in
            do throws(ObjectFileError) {
                try transfer(
                    [iovec(iov_base: space.baseAddress, iov_len: count)], at: offset, step: .readFile,
                    path: path(file.id)
                ) { vectors, count, position in preadv(file.descriptor, vectors, count, position) }
                return count
            } catch {
                problem = error
                return 0
            }
        }
        if let problem { throw problem }
        return buffer
    }
}

// MARK: Writing

extension ObjectFiles {
    /// Encrypts and writes a piece; called on the file's queue.
    func append(_ piece: consuming ByteBuffer, at offset: Int64, to file: ObjectFile) throws(ObjectFileError) {
        guard piece.readableBytes > 0 else { return }
        let path = incomingPath(file.id)
        try check(.writeFile, path)
        precondition(offset % ObjectBlocks.blockBytes == 0, "a piece begins inside a block, at \(offset)")
        let first = offset / ObjectBlocks.blockBytes
        let marksCount = blocksCount(piece.readableBytes) * file.markBytes
        var problem: ObjectFileError?
        piece.withUnsafeMutableReadableBytes { blocks in
            withUnsafeTemporaryAllocation(byteCount: marksCount, alignment: 16) { marks in
                do throws(ObjectFileError) {
                    guard mark(blocks, marks, of: file, first: first) else {
                        throw ObjectFileError(step: .writeFile, path: path, number: ObjectFileError.locked)
                    }
                    let position = first * (ObjectBlocks.blockBytes + Int64(file.markBytes))
                    try transfer(
                        interleaved(blocks, marks, markBytes: file.markBytes), at: position, step: .writeFile,
                        path: path
                    ) { vectors, count, position in pwritev(file.descriptor, vectors, count, position) }
                } catch {
                    problem = error
                }
            }
        }
        buffers.give(piece)
        if let problem { throw problem }
    }

    /// Writes what follows the last block of a file of an object of that size.
    func writeTrailer(of file: ObjectFile, size: Int64) throws(ObjectFileError) {
        var trailer = trailer(of: file)
        guard !trailer.isEmpty else { return }
        var problem: ObjectFileError?
        trailer.withUnsafeMutableBytes { bytes in
            do throws(ObjectFileError) {
                try transfer(
                    [iovec(iov_base: bytes.baseAddress, iov_len: bytes.count)], at: ObjectCipher.sealedBytes(size),
                    step: .writeFile, path: incomingPath(file.id)
                ) { vectors, count, position in pwritev(file.descriptor, vectors, count, position) }
            } catch {
                problem = error
            }
        }
        if let problem { throw problem }
    }

    /// Keeps a whole small object in memory, for the transaction that makes it an object; the disk is not touched.
    func keep(_ piece: ByteBuffer, in file: ObjectFile) throws(ObjectFileError) {
        var blocks = Array(piece.readableBytesView)
        var marks = [UInt8](repeating: 0, count: blocksCount(blocks.count) * file.markBytes)
        var content: [UInt8] = []
        content.reserveCapacity(blocks.count + marks.count + 128)
        let isMarked = blocks.withUnsafeMutableBytes { blocks in
            marks.withUnsafeMutableBytes { marks in
                guard mark(blocks, marks, of: file, first: 0) else { return false }
                for vector in interleaved(blocks, marks, markBytes: file.markBytes) {
                    content.append(contentsOf: UnsafeRawBufferPointer(start: vector.iov_base, count: vector.iov_len))
                }
                return true
            }
        }
        guard isMarked else {
            throw ObjectFileError(step: .writeFile, path: path(file.id), number: ObjectFileError.locked)
        }
        content.append(contentsOf: trailer(of: file))
        file.keep(content)
    }

    /// Encrypts blocks where they are, and makes their marks.
    ///
    /// - Returns: false where the file has no key or the cipher refuses.
    private func mark(
        _ blocks: UnsafeMutableRawBufferPointer, _ marks: UnsafeMutableRawBufferPointer, of file: ObjectFile,
        first: Int64
    ) -> Bool {
        let cipher = file.key?.cipher
        guard cipher != nil || file.layout == ObjectBlocks.checkedLayout else { return false }
        return eachBlock(blocks, marks, markBytes: file.markBytes, first: first) { block, mark, number in
            guard let cipher else {
                mark.copyBytes(
                    from: ObjectBlocks.checksum(UnsafeRawBufferPointer(block), number: number, file: file.id))
                return true
            }
            guard cipher.seal(block, number: number, tag: mark) else { return false }
            if file.layout == ObjectBlocks.keyedLayout {
                file.addToChecksum(UnsafeRawBufferPointer(block))
                file.addToChecksum(UnsafeRawBufferPointer(mark))
            }
            return true
        }
    }

    /// What follows the last block.
    private func trailer(of file: ObjectFile) -> [UInt8] {
        switch file.layout {
        case ObjectBlocks.checkedLayout: []
        case ObjectBlocks.keyedLayout: file.checksum
        default: ObjectBlocks.trailer(file.key?.sealed ?? [])
        }
    }
}

// MARK: Blocks and their marks

private func blocksCount(_ bytes: Int) -> Int { (bytes + ObjectCipher.blockBytes - 1) / ObjectCipher.blockBytes }

/// Hands over each block with its mark and number, as long as the body says so.
///
/// - Returns: whether it did so for all.
private func eachBlock(
    _ blocks: UnsafeMutableRawBufferPointer, _ marks: UnsafeMutableRawBufferPointer, markBytes: Int, first: Int64,
    _ body: (UnsafeMutableRawBufferPointer, UnsafeMutableRawBufferPointer, Int64) -> Bool
) -> Bool {
    var number = first
    var start = 0
    var place = 0
    while start < blocks.count {
        let end = min(blocks.count, start + ObjectCipher.blockBytes)
        let block = UnsafeMutableRawBufferPointer(rebasing: blocks[start..<end])
        let mark = UnsafeMutableRawBufferPointer(rebasing: marks[place..<place + markBytes])
        guard body(block, mark, number) else { return false }
        number += 1
        start = end
        place += markBytes
    }
    return true
}

/// Blocks and marks in the order of the file.
private func interleaved(
    _ blocks: UnsafeMutableRawBufferPointer, _ marks: UnsafeMutableRawBufferPointer, markBytes: Int
) -> [iovec] {
    var vectors: [iovec] = []
    vectors.reserveCapacity(2 * blocksCount(blocks.count))
    _ = eachBlock(blocks, marks, markBytes: markBytes, first: 0) { block, mark, _ in
        vectors.append(iovec(iov_base: block.baseAddress, iov_len: block.count))
        vectors.append(iovec(iov_base: mark.baseAddress, iov_len: mark.count))
        return true
    }
    return vectors
}

/// Reads or writes all of the memory, however little of it the system takes at a time.
private func transfer(
    _ memory: [iovec], at offset: Int64, step: FileStep, path: String,
    _ call: (UnsafePointer<iovec>?, Int32, off_t) -> Int
) throws(ObjectFileError) {
    var rest = memory[...]
    var position = off_t(offset)
    while !rest.isEmpty {
        var number: Int32 = 0
        var count = rest.withUnsafeBufferPointer { vectors in
            let count = call(vectors.baseAddress, Int32(vectors.count), position)
            if count < 0 { number = errno }
            return count
        }
        if number == EINTR { continue }
        guard count > 0 else { throw ObjectFileError(step: step, path: path, number: number) }
        position += off_t(count)
        while let first = rest.first, first.iov_len <= count {
            count -= first.iov_len
            rest.removeFirst()
        }
        if count > 0, let base = rest.first?.iov_base {
            rest[rest.startIndex].iov_base = base + count
            rest[rest.startIndex].iov_len -= count
        }
    }
}

// MARK: Between threads

/// Memory of pieces that are done with, for those to come: fresh memory costs a page fault for each 4 KiB of it.
final class PieceBuffers: Sendable {
    private struct State {
        var kept: [ByteBuffer] = []
        var flows = 0

        /// Memory that was used a moment ago lies in the cache of the processor that sent it, from where another one gets it
        /// more slowly than from the cache of all: so many are in turn before one is used again.
        static let countMin = 16
        /// More for each object on its way.
        var countMax: Int { Self.countMin + 3 * flows }
    }

    private let state = Mutex(State())

    /// An empty buffer.
    func take(_ capacity: Int) -> ByteBuffer {
        guard capacity > ObjectCipher.blockBytes else { return ByteBufferAllocator().buffer(capacity: capacity) }
        // The network may still have the bytes of some. Those given back first are free first.
        let free: ByteBuffer? = state.withLock { state in
            guard state.kept.count >= State.countMin,
                let index = state.kept.indices.first(where: {
                    state.kept[$0].modifyIfUniquelyOwned { _ in true } ?? false
                })
            else { return nil }
            var buffer = state.kept.remove(at: index)
            buffer.clear(minimumCapacity: capacity)
            return buffer
        }
        return free ?? ByteBufferAllocator().buffer(capacity: max(capacity, ObjectFiles.Limits.pieceBytes))
    }

    /// Takes a buffer back that its user does not need any more.
    func give(_ buffer: ByteBuffer) {
        guard buffer.capacity >= ObjectFiles.Limits.pieceBytes else { return }
        state.withLock { state in
            if state.kept.count < state.countMax { state.kept.append(buffer) }
        }
    }

    /// An object begins to be sent.
    func beginFlow() { state.withLock { $0.flows += 1 } }

    /// How many objects are being sent.
    var flows: Int { state.withLock { $0.flows } }

    /// An object was sent, or will not be.
    func endFlow() {
        state.withLock { state in
            state.flows -= 1
            let surplus = state.kept.count - state.countMax
            if surplus > 0 { state.kept.removeFirst(surplus) }
        }
    }
}

/// A value that goes to another thread without a copy.
final class Handover<Value: Sendable>: Sendable {
    private let value: Mutex<Value?>

    init(_ value: consuming Value) { self.value = Mutex(value) }

    /// nil when it was taken before.
    func take() -> Value? {
        value.withLock { value in
            defer { value = nil }
            return value
        }
    }
}

/// A step on the disk that was begun and may have ended.
final class PendingStep<Value: Sendable>: Sendable {
    typealias Outcome = Result<Value, ObjectFileError>

    private enum State {
        case running
        case awaited(CheckedContinuation<Outcome, Never>)
        case ended(Outcome)
        case told
    }

    private let state = Mutex(State.running)

    func end(_ outcome: Outcome) {
        let waiting: CheckedContinuation<Outcome, Never>? = state.withLock { state in
            if case .awaited(let waiting) = state {
                state = .told
                return waiting
            }
            state = .ended(outcome)
            return nil
        }
        waiting?.resume(returning: outcome)
    }

    /// Waits for its end; to be asked once.
    func value() async throws(ObjectFileError) -> Value {
        let outcome: Outcome = await withCheckedContinuation { continuation in
            let outcome: Outcome? = state.withLock { state in
                guard case .ended(let outcome) = state else {
                    state = .awaited(continuation)
                    return nil
                }
                state = .told
                return outcome
            }
            if let outcome { continuation.resume(returning: outcome) }
        }
        return try outcome.get()
    }
}

// SPDX-License-Identifier: Apache-2.0

internal import AWSWire
internal import Glibc
internal import NIOCore
internal import Synchronization

/// A body put aside on the disk until all of it has proven itself; then it is read from the start. Nobody else can see the
/// file: its name is gone as soon as it is open, so a crash leaves nothing behind.
final class IntakeSpool: Sendable {
    private let descriptor: Int32
    private let path: String
    private let budget: IntakeBudget
    private let held = Mutex(0)

    /// - Parameter directory: a folder on the disk with room for the largest body.
    /// - Throws: 429 when as many bodies as may be are on their way in.
    init(directory: String, budget: IntakeBudget) throws(AWSError) {
        path = directory + "/body.XXXXXX"
        self.budget = budget
        try budget.openBody()
        var template = Array(path.utf8CString)
        descriptor = template.withUnsafeMutableBufferPointer { buffer in
            guard let base = buffer.baseAddress else { return -1 }
            let descriptor = mkstemp(base)
            if descriptor >= 0 { unlink(base) }
            return descriptor
        }
        guard descriptor >= 0 else {
            let failure = Self.failure("open", path)
            budget.closeBody(0)
            throw failure
        }
    }

    deinit {
        close(descriptor)
        budget.closeBody(held.withLock { $0 })
    }

    /// Takes in the whole body.
    ///
    /// - Throws: what the body throws when it is not what its signature says; 429 when bodies take all the space they may,
    ///   413 when this one alone does; 503 when the disk is full.
    func fill(_ body: RequestBody) async throws(AWSError) {
        try await body.consume { (piece: ByteBuffer) throws(AWSError) in
            let bytes = piece.readableBytes
            try budget.take(bytes, held: held.withLock { $0 })
            held.withLock { $0 += bytes }
            let isWritten = piece.withUnsafeReadableBytes { bytes -> Bool in
                var done = 0
                while done < bytes.count {
                    let count = write(descriptor, bytes.baseAddress.map { $0 + done }, bytes.count - done)
                    if count < 0, errno == EINTR { continue }
                    guard count > 0 else { return false }
                    done += count
                }
                return true
            }
            guard isWritten else { throw Self.failure("write", path) }
        }
        guard lseek(descriptor, 0, SEEK_SET) == 0 else { throw Self.failure("rewind", path) }
    }

    /// The next bytes; 0 at the end.
    func read(into room: UnsafeMutableRawBufferPointer) throws(AWSError) -> Int {
        while true {
            let count = Glibc.read(descriptor, room.baseAddress, room.count)
            if count >= 0 { return count }
            guard errno == EINTR else { throw Self.failure("read", path) }
        }
    }

    private static func failure(_ what: String, _ path: String) -> AWSError {
        let code = errno
        let cause = "intake: cannot \(what) `\(path)`: \(String(cString: strerror(code)))"
        return code == ENOSPC || code == EDQUOT || code == EMFILE || code == ENFILE
            ? .serviceUnavailable("There is no room for this body now. Try again later.", cause: cause)
            : .internalFailure(cause: cause)
    }
}

// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization

/// What the journal's face and its flushing thread share.
///
/// Locks, in the order in which they may be taken: `writer` (held over a write and a flush, by whoever flushes), then
/// `segments`, then `state` (held for a copy at most).
final class JournalCore: Sendable {
    private struct State {
        /// Oldest first; appends go into the last.
        var pending: [PendingBlock] = []
        var pendingBytes = 0
        /// Callers that wait in `pending`.
        var waiters = 0
        /// Buffers to use again.
        var spares: [PendingBuffer] = []
        /// The same for the list of who waits.
        var spareWaiters: [PendingBlock.Waiter] = []
        /// The thread sleeps, and is woken when so many callers wait; nil while it is awake.
        var wakesAt: Int?
        var isClosing = false
        var isClosed = false
        /// The journal went without a close: as after a kill, nothing more is written, for someone else may have it open.
        var isAbandoned = false
        var failure: JournalError?
        var followers: [UInt64: (from: UInt64, continuation: UnsafeContinuation<UInt64, any Error>)] = [:]
        /// Waits that were cancelled before they began.
        var cancelled: Set<UInt64> = []
        var closers: [UnsafeContinuation<Void, Never>] = []

        mutating func takeSpare(isLarge: Bool) -> PendingBuffer? {
            spares.firstIndex { ($0.bytes.count >= JournalCore.largeBytes) == isLarge }.map { spares.remove(at: $0) }
        }

        mutating func takeWaiters() -> [PendingBlock.Waiter] {
            defer { spareWaiters = [] }
            return spareWaiters
        }
    }

    /// Batches of so many bytes make a block of their own.
    static let ownBlockBytes = 256 << 10
    /// Buffers of so many bytes are for such batches.
    private static let largeBytes = 1 << 20
    private static let sparesMax = 3

    let limits: JournalLimits
    let durable: Atomic<UInt64>
    let bytesCutAtOpen: UInt64
    private let flushing: Journal.Flushing
    private let answering: @Sendable (() -> Void) -> Void
    private let directory: String
    private let device: any JournalDevice
    private let state = Mutex(State())
    private let segments: Mutex<[JournalSegment]>
    private let writer: Mutex<JournalWriter>
    private let signal = FlushSignal()
    private let recent: RecentBlocks
    /// The last look at the disk found less than the reserve.
    private let isFull = Atomic<Bool>(false)
    /// The disk was looked at since the last flush, and had room.
    private let hasRoom = Atomic<Bool>(false)
    private let followerIDs = Atomic<UInt64>(0)

    init(
        directory: String, device: any JournalDevice, limits: JournalLimits, clock: @escaping @Sendable () -> Int64,
        flushing: Journal.Flushing, answering: @escaping @Sendable (() -> Void) -> Void
    ) throws(JournalError) {
        let recovered = try JournalRecovery(directory: directory, device: device, limits: limits).run()
        var files = recovered.segments
        let tail: JournalTail
        let allocated: UInt64
        do throws(JournalDeviceError) {
            if let found = recovered.tail, let last = files.last {
                tail = found
                allocated = try last.file.size()
            } else {
                let begun = try JournalWriter.create(
                    0, after: nil, directory: directory, device: device, limits: limits, time: clock())
                files = [begun.segment]
                allocated = begun.allocated
                tail = JournalTail(
                    next: 0, offset: UInt64(begun.segment.header.alignment), chain: begun.segment.headerChain)
            }
        } catch {
            throw .device(error.isNoSpace ? .full : .inputOutput, error)
        }
        guard let last = files.last else { throw .closed }
        self.directory = directory
        self.device = device
        self.limits = limits
        self.flushing = flushing
        self.answering = answering
        bytesCutAtOpen = recovered.bytesCut
        durable = Atomic(tail.next)
        recent = RecentBlocks(bytesMax: limits.recentBytesMax)
        segments = Mutex(files)
        writer = Mutex(
            JournalWriter(
                directory: directory, device: device, limits: limits, clock: clock, segment: last, tail: tail,
                allocated: allocated))
    }

    var firstNumber: UInt64 { segments.withLock { $0.first?.header.first ?? 0 } }

    var isWritable: Bool {
        guard state.withLock({ $0.failure == nil && !$0.isClosing }) else { return false }
        return (try? checkSpace()) != nil
    }

    // MARK: - Appending

    /// Refuses at once what cannot succeed, and what would begin something new on a disk that is nearly full.
    func admit(_ byteCount: Int, usesReserve: Bool = false) throws(JournalError) {
        guard byteCount <= limits.entryBytesMax else {
            throw JournalError(
                .tooLarge, "an entry of \(byteCount) bytes is over the limit of \(limits.entryBytesMax)")
        }
        // Once for all that the next flush takes along.
        if !usesReserve, !hasRoom.load(ordering: .relaxed) { try checkSpace() }
    }

    private func checkSpace() throws(JournalError) {
        do throws(JournalError) {
            try JournalWriter.checkSpace(directory, device, limits, for: 0)
            isFull.store(false, ordering: .relaxed)
            hasRoom.store(true, ordering: .relaxed)
        } catch {
            isFull.store(true, ordering: .relaxed)
            hasRoom.store(false, ordering: .relaxed)
            throw error
        }
    }

    /// A buffer for a batch that makes a block of its own.
    func largeBuffer(_ payload: Int) -> PendingBuffer {
        let spare = state.withLock { $0.takeSpare(isLarge: true) }
        let buffer = spare ?? PendingBuffer(capacity: max(payload + BlockHeader.byteCount, Self.largeBytes))
        buffer.reserve(payload)
        return buffer
    }

    /// Adds a batch as a block of its own.
    func enqueue(
        _ buffer: PendingBuffer, payload: Int, count: UInt32,
        _ continuation: UnsafeContinuation<Result<UInt64, JournalError>, Never>
    ) {
        enqueue(payload: payload, count: count, continuation) { state in
            state.pending.append(PendingBlock(buffer: buffer, waiters: state.takeWaiters()))
        }
    }

    /// Adds entries to the pending block; the continuation is resumed when they are durable, or refused.
    func enqueue(
        payload: Int, count: UInt32, _ continuation: UnsafeContinuation<Result<UInt64, JournalError>, Never>,
        _ fill: (PendingBuffer) -> Void
    ) {
        enqueue(payload: payload, count: count, continuation) { state in
            let isFull =
                state.pending.last.map {
                    $0.buffer.payloadCount + payload > limits.blockBytesMax
                        || $0.buffer.payloadCount >= Self.ownBlockBytes && $0.waiters.count == 1
                } ?? true
            if isFull {
                let buffer =
                    state.takeSpare(isLarge: false) ?? PendingBuffer(capacity: min(limits.blockBytesMax, 256 << 10))
                state.pending.append(PendingBlock(buffer: buffer, waiters: state.takeWaiters()))
            }
            fill(state.pending[state.pending.count - 1].buffer)
        }
    }

    /// - Parameter add: sees to it that the entries are in the last pending block.
    private func enqueue(
        payload: Int, count: UInt32, _ continuation: UnsafeContinuation<Result<UInt64, JournalError>, Never>,
        add: (inout State) -> Void
    ) {
        var refusal: JournalError?
        var isWaking = false
        state.withLock { state in
            if let failure = state.failure {
                refusal = failure
                return
            }
            guard !state.isClosing else {
                refusal = .closed
                return
            }
            guard state.pendingBytes + payload <= limits.pendingBytesMax || state.pending.isEmpty else {
                refusal = JournalError(
                    .overloaded, "\(state.pendingBytes) bytes already wait for the disk; try again later")
                return
            }
            add(&state)
            let last = state.pending.count - 1
            state.pending[last].waiters.append(
                PendingBlock.Waiter(continuation: continuation, index: state.pending[last].count))
            state.pending[last].count += count
            state.pendingBytes += payload
            state.waiters += 1
            if let wakesAt = state.wakesAt, state.waiters >= wakesAt {
                isWaking = true
                state.wakesAt = nil
            }
        }
        if let refusal {
            continuation.resume(returning: .failure(refusal))
        } else if isWaking {
            signal.wake()
        }
    }

    // MARK: - The flushing thread

    /// The thread's body: flushes until closed.
    func run() {
        var isMarkDue = limits.markDelayMilliseconds > 0
        var pace = FlushPace(waitersMax: limits.gatherWaitersMax)
        var ended = MonotonicTime.microseconds()
        var last = FlushPace.Flush(carried: 0, arrived: 0, gathering: 0, flushing: 0)
        while true {
            let isComplete = gather(pace.target, after: last)
            let begun = MonotonicTime.microseconds()
            if let (carried, arrived, flushed) = flushNext() {
                isMarkDue = limits.markDelayMilliseconds > 0
                last = FlushPace.Flush(
                    carried: carried, arrived: arrived, gathering: begun - ended, flushing: flushed - begun)
                ended = flushed
                if carried >= limits.gatherWaitersMin {
                    pace.note(last, isComplete: isComplete)
                } else {
                    pace = FlushPace(waitersMax: limits.gatherWaitersMax)
                }
                continue
            }
            let (isSleeping, isClosing) = state.withLock { state -> (Bool, Bool) in
                guard state.pending.isEmpty else { return (false, false) }
                guard !state.isClosing else { return (false, true) }
                state.wakesAt = 1
                return (true, false)
            }
            if isClosing { return finish() }
            guard isSleeping else { continue }
            last.carried = 0
            if isMarkDue {
                if !signal.wait(microseconds: Int64(limits.markDelayMilliseconds) * 1000) {
                    isMarkDue = false
                    mark()
                }
            } else {
                signal.wait()
            }
        }
    }

    /// Lets callers gather before the next flush, where several shared the last one, so that the next are sure to come.
    /// Alone, a caller never waits.
    ///
    /// - Returns: false when the time was over before `target` callers waited.
    private func gather(_ target: Int, after last: FlushPace.Flush) -> Bool {
        let longest = min(
            Int64(limits.gatherMicrosecondsMax), last.flushing * Int64(limits.gatherFlushesMax))
        guard last.carried >= limits.gatherWaitersMin, longest > 0 else { return true }
        let deadline = MonotonicTime.microseconds() + longest
        while true {
            let isComplete = state.withLock { state in
                // More than one block waits when the last is full.
                state.wakesAt = nil
                if state.isClosing || state.waiters >= target || state.pending.count > 1 { return true }
                state.wakesAt = target
                return false
            }
            if isComplete { return true }
            let left = deadline - MonotonicTime.microseconds()
            guard left > 0, signal.wait(microseconds: left) else { break }
        }
        return state.withLock { state in
            state.wakesAt = nil
            return state.waiters >= target
        }
    }

    /// Takes the oldest pending block, writes and flushes it, and answers those who wait.
    ///
    /// - Returns: how many waited for it, how many came meanwhile, and when it was flushed (microseconds of the monotonic
    ///   clock); nil when nothing was pending.
    @discardableResult
    func flushNext() -> (carried: Int, arrived: Int, flushed: Int64)? {
        guard
            let (taken, behind) = state.withLock({ state -> (PendingBlock, Int)? in
                guard !state.pending.isEmpty else { return nil }
                let block = state.pending.removeFirst()
                state.waiters -= block.waiters.count
                return (block, state.waiters)
            })
        else { return nil }
        var block = taken
        var waiters = block.waiters
        block.waiters = []
        let outcome = writer.withLock { writer -> Result<(first: UInt64, next: UInt64), JournalError> in
            do throws(JournalError) {
                let (first, begun) = try writer.write(block.buffer, count: block.count)
                if let begun { segments.withLock { $0.append(begun) } }
                return .success((first, writer.tail.next))
            } catch {
                return .failure(error)
            }
        }
        let flushed = MonotonicTime.microseconds()
        hasRoom.store(false, ordering: .relaxed)
        let waiting: Int
        let payload = block.buffer.payloadCount
        switch outcome {
        case .success(let (first, next)):
            let spare = recent.keep(block.buffer, first: first, count: block.count)
            durable.store(next, ordering: .releasing)
            waiting = recycle(spare, payload) { _ in }
            answering {
                for waiter in waiters {
                    waiter.continuation.resume(returning: .success(first + UInt64(waiter.index)))
                }
            }
            wakeFollowers()
        case .failure(let error):
            isFull.store(error.code == .full, ordering: .relaxed)
            waiting = recycle(block.buffer, payload) { if error.code != .full { $0.failure = error } }
            answering {
                for waiter in waiters { waiter.continuation.resume(returning: .failure(error)) }
            }
        }
        let carried = waiters.count
        waiters.removeAll(keepingCapacity: true)
        state.withLock { $0.spareWaiters = waiters }
        return (carried, waiting - behind, flushed)
    }

    /// Writes a mark; a failure is kept and met by the next append.
    func mark() {
        do throws(JournalError) {
            try writer.withLock { writer throws(JournalError) in try writer.mark() }
        } catch {
            state.withLock { $0.failure = error }
        }
    }

    /// - Parameters:
    ///   - spare: a buffer that can be used again.
    ///   - payload: bytes that wait no more.
    /// - Returns: how many callers wait now.
    @discardableResult
    private func recycle(_ spare: PendingBuffer?, _ payload: Int, _ body: (inout State) -> Void) -> Int {
        spare?.reset()
        return state.withLock { state in
            state.pendingBytes -= payload
            if let spare, state.spares.count < Self.sparesMax, spare.bytes.count <= limits.blockBytesMax * 2 {
                state.spares.append(spare)
            }
            body(&state)
            return state.waiters
        }
    }

    // MARK: - Closing

    /// - Parameter continuation: resumed when all is flushed; nil when the last user of the journal is gone.
    func beginClosing(_ continuation: UnsafeContinuation<Void, Never>?) {
        let isClosed = state.withLock { state -> Bool in
            if continuation == nil { state.isAbandoned = !state.isClosing }
            state.isClosing = true
            state.wakesAt = nil
            if let continuation, !state.isClosed { state.closers.append(continuation) }
            return state.isClosed
        }
        if isClosed { continuation?.resume() }
        switch flushing {
        case .byThread: signal.wake()
        case .byHand:
            guard continuation != nil, !isClosed else { return }
            while flushNext() != nil {}
            finish()
        }
    }

    /// The last thing that is done, after the last flush.
    private func finish() {
        if !state.withLock({ $0.isAbandoned }) { mark() }
        let (closers, followers) = state.withLock { state in
            let result = (state.closers, state.followers)
            state.isClosed = true
            state.closers = []
            state.followers = [:]
            return result
        }
        for follower in followers.values { follower.continuation.resume(throwing: JournalError.closed) }
        for closer in closers { closer.resume() }
    }

    // MARK: - Following

    func nextFollower() -> UInt64 { followerIDs.wrappingAdd(1, ordering: .relaxed).newValue }

    func wait(from: UInt64, id: UInt64, _ continuation: UnsafeContinuation<UInt64, any Error>) {
        let outcome = state.withLock { state -> Result<UInt64, any Error>? in
            if state.cancelled.remove(id) != nil { return .failure(CancellationError()) }
            // Read under the lock: the flushing thread stores it before it takes the lock to look for followers.
            let durable = durable.load(ordering: .acquiring)
            if durable > from { return .success(durable) }
            if state.isClosed { return .failure(JournalError.closed) }
            state.followers[id] = (from, continuation)
            return nil
        }
        if let outcome { continuation.resume(with: outcome) }
    }

    func cancelWait(_ id: UInt64) {
        let waiting = state.withLock { state in
            let waiting = state.followers.removeValue(forKey: id)
            if waiting == nil { state.cancelled.insert(id) }
            return waiting
        }
        waiting?.continuation.resume(throwing: CancellationError())
    }

    /// Ends a wait, however it ended: a cancellation may have come too late for it.
    func endWait(_ id: UInt64) { state.withLock { _ = $0.cancelled.remove(id) } }

    private func wakeFollowers() {
        let durable = durable.load(ordering: .acquiring)
        let ready = state.withLock { state -> [UnsafeContinuation<UInt64, any Error>] in
            guard !state.followers.isEmpty else { return [] }
            let ready = state.followers.filter { $0.value.from < durable }
            for id in ready.keys { state.followers[id] = nil }
            return ready.values.map(\.continuation)
        }
        for continuation in ready { continuation.resume(returning: durable) }
    }

    // MARK: - Reading and trimming

    func read(from: UInt64, bytesMax: Int) throws(JournalError) -> JournalBatch {
        let end = durable.load(ordering: .acquiring)
        let (first, segment) = segments.withLock { segments -> (UInt64, JournalSegment?) in
            (segments.first?.header.first ?? 0, segments.last { $0.header.first <= from })
        }
        guard from >= first, let segment else {
            throw JournalError(
                .trimmed, "entry \(from) has been trimmed away, the first kept is \(first)", path: directory)
        }
        guard from < end else { return JournalBatch(first: from, next: from) }
        if let batch = recent.read(from: from, bytesMax: bytesMax) { return batch }
        return try segment.read(from: from, durable: end, bytesMax: bytesMax)
    }

    func number(writtenAtOrAfter time: Int64) throws(JournalError) -> UInt64 {
        let end = durable.load(ordering: .acquiring)
        for segment in segments.withLock({ $0 }) {
            if let number = try segment.first(writtenAtOrAfter: time, durable: end) { return number }
        }
        return end
    }

    func trim(before number: UInt64) throws(JournalError) {
        // The writer's lock keeps two trims and a new segment apart.
        try writer.withLock { _ throws(JournalError) in
            let all = segments.withLock { $0 }
            var count = 0
            while count + 1 < all.count, all[count + 1].header.first <= number { count += 1 }
            guard count > 0 else { return }
            do throws(JournalDeviceError) {
                try KeptMark.write(all[count].header.first, as: JournalFileNames.first, in: directory, device)
                segments.withLock { $0.removeFirst(count) }
                for segment in all[..<count] {
                    try device.remove(segment.path)
                    SegmentIndex.remove(segment.header.first, in: directory, device)
                }
                try device.syncDirectory(directory)
            } catch {
                throw .device(error.isNoSpace ? .full : .inputOutput, error)
            }
        }
    }
}

/// The machine's monotonic clock; it only paces flushes, and nothing that is kept depends on it.
private enum MonotonicTime {
    static func microseconds() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000
    }
}

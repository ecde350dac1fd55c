// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Wakes the flushing thread, which sleeps here when there is nothing to write. A wake that comes before the sleep is kept.
///
/// @unchecked: the flag is guarded by the POSIX mutex; mutex, condition and flag stay at addresses that never change.
final class FlushSignal: @unchecked Sendable {
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var isAwake = false

    init() {
        mutex.initialize(to: pthread_mutex_t())
        pthread_mutex_init(mutex, nil)
        condition.initialize(to: pthread_cond_t())
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(condition, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(condition)
        condition.deallocate()
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    func wake() {
        pthread_mutex_lock(mutex)
        isAwake = true
        pthread_mutex_unlock(mutex)
        pthread_cond_signal(condition)
    }

    /// Sleeps until woken.
    func wait() {
        pthread_mutex_lock(mutex)
        while !isAwake { pthread_cond_wait(condition, mutex) }
        isAwake = false
        pthread_mutex_unlock(mutex)
    }

    /// Sleeps until woken, or for a time by the monotonic clock.
    ///
    /// - Returns: false when the time is over.
    func wait(microseconds: Int64) -> Bool {
        var deadline = timespec()
        clock_gettime(CLOCK_MONOTONIC, &deadline)
        let nanoseconds = deadline.tv_nsec + Int(microseconds % 1_000_000) * 1000
        deadline.tv_sec += Int(microseconds / 1_000_000) + nanoseconds / 1_000_000_000
        deadline.tv_nsec = nanoseconds % 1_000_000_000
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while !isAwake {
            guard pthread_cond_timedwait(condition, mutex, &deadline) != ETIMEDOUT else { break }
        }
        let isWoken = isAwake
        isAwake = false
        return isWoken
    }

    /// Runs a body on a thread of its own.
    static func thread(_ body: @escaping @Sendable () -> Void) -> Bool {
        var thread = pthread_t()
        let context = Unmanaged.passRetained(ThreadBody(body))
        let result = pthread_create(
            &thread, nil,
            { context in
                guard let context else { return nil }
                Unmanaged<ThreadBody>.fromOpaque(context).takeRetainedValue().run()
                return nil
            }, context.toOpaque())
        guard result == 0 else {
            context.release()
            return false
        }
        pthread_detach(thread)
        return true
    }

    private final class ThreadBody: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }
}

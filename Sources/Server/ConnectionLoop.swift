// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import HummingbirdCore
internal import Logging
internal import NIOCore

/// A child channel whose connections are handled on their own event loop's thread.
///
/// A small call then runs from the socket to the gate and back without changing threads, which costs more than the call
/// itself. What is long or blocks goes elsewhere: files and SQLite have threads of their own, and the gate moves operations
/// with large documents to the shared pool.
struct LoopBoundChannel<Inner: ServerChildChannel>: ServerChildChannel where Inner.Value == HTTP1Channel.Value {
    typealias Value = Inner.Value

    let inner: Inner
    let executors: LoopExecutors

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        inner.setup(channel: channel, logger: logger)
    }

    func handle(value: Value, logger: Logger) async {
        let inner = inner
        await withTaskExecutorPreference(executors.executor(of: value.channel.eventLoop)) {
            await inner.handle(value: value, logger: logger)
        }
    }
}

/// One executor for each event loop of a group.
struct LoopExecutors: Sendable {
    private let executors: [LoopExecutor]

    init(_ group: any EventLoopGroup) { executors = group.makeIterator().map { LoopExecutor(loop: $0) } }

    func executor(of loop: any EventLoop) -> LoopExecutor {
        executors.first { $0.loop === loop } ?? LoopExecutor(loop: loop)
    }
}

/// Runs tasks' jobs on one event loop.
final class LoopExecutor: TaskExecutor {
    let loop: any EventLoop

    init(loop: any EventLoop) { self.loop = loop }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        if let gathering = LoopWakes.current { return gathering.add(job, for: self) }
        loop.execute { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }

    fileprivate func run(_ jobs: [UnownedJob]) {
        loop.execute {
            let executor = self.asUnownedTaskExecutor()
            for job in jobs { job.runSynchronously(on: executor) }
        }
    }
}

/// Gathers the jobs that a thread hands to event loops, so that each loop is woken once for all of them.
///
/// The thread that flushes the journal resumes dozens of calls at once; one by one, each would cost a system call, and a
/// loop that wakes, answers one call, and sleeps again.
enum LoopWakes {
    /// Runs a body that resumes tasks; those that run on event loops go to them when it returns.
    static func gathered(_ body: () -> Void) {
        guard let key, pthread_getspecific(key) == nil else { return body() }
        let gathering = Gathering()
        pthread_setspecific(key, Unmanaged.passUnretained(gathering).toOpaque())
        body()
        pthread_setspecific(key, nil)
        gathering.deliver()
    }

    /// What this thread is gathering now.
    fileprivate static var current: Gathering? {
        guard let key, let pointer = pthread_getspecific(key) else { return nil }
        return Unmanaged<Gathering>.fromOpaque(pointer).takeUnretainedValue()
    }

    /// nil when the system has no more keys: then nothing is gathered.
    private static let key: pthread_key_t? = {
        var key = pthread_key_t()
        return pthread_key_create(&key, nil) == 0 ? key : nil
    }()

    /// Lives on one thread's stack of calls, and is reached from that thread alone.
    fileprivate final class Gathering {
        private var loops: [(executor: LoopExecutor, jobs: [UnownedJob])] = []

        func add(_ job: UnownedJob, for executor: LoopExecutor) {
            for index in loops.indices where loops[index].executor === executor {
                loops[index].jobs.append(job)
                return
            }
            var jobs: [UnownedJob] = []
            jobs.reserveCapacity(64)
            jobs.append(job)
            loops.append((executor, jobs))
        }

        func deliver() {
            for (executor, jobs) in loops { executor.run(jobs) }
        }
    }
}

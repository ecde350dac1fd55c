// SPDX-License-Identifier: Apache-2.0

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

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        inner.setup(channel: channel, logger: logger)
    }

    func handle(value: Value, logger: Logger) async {
        let inner = inner
        await withTaskExecutorPreference(LoopExecutor(loop: value.channel.eventLoop)) {
            await inner.handle(value: value, logger: logger)
        }
    }
}

/// Runs a task's jobs on one event loop.
private final class LoopExecutor: TaskExecutor {
    private let loop: any EventLoop

    init(loop: any EventLoop) { self.loop = loop }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        loop.execute { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }
}

// SPDX-License-Identifier: Apache-2.0

internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import Synchronization

/// An S3 server on loopback that keeps objects in memory and fails as its script says.
package final class ScriptedS3: Sendable {
    /// What happens to a request.
    package enum Act: Sendable {
        /// It is answered as S3 answers.
        case answer
        /// It is answered with an error.
        case fail(status: Int, code: String, retryAfter: Int? = nil)
        /// The connection is closed after so many bytes of the body; nothing is stored.
        case cut(afterBytes: Int)
        /// The object is stored and the connection closed without an answer.
        case storeThenCut
        /// It is stored or not, and never answered.
        case silence(stores: Bool)
    }

    /// A request as it came, whole or not.
    package struct Request: Sendable {
        package var method: String
        package var uri: String
        package var headers: [(name: String, value: String)]
        package var body: [UInt8] = []

        /// The first header of that name, whatever its case.
        package func header(_ name: String) -> String? {
            headers.first { $0.name.lowercased() == name.lowercased() }?.value
        }
    }

    struct State: Sendable {
        /// For the requests to come, in their order; then `standing`.
        var script: [Act] = []
        var standing = Act.answer
        var isDown = false
        var buckets: Set<String> = ["logs"]
        var objects: [String: Request] = [:]
        var requests: [Request] = []
    }

    let state = Mutex(State())
    private let channel: any Channel
    package let port: Int

    /// Listens on a free port of 127.0.0.1.
    package init() async throws {
        let shared = Reference()
        channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(ChannelOptions.backlog, value: 64)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    guard let server = shared.server, !server.isDown else { return channel.close(promise: nil) }
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline()
                    try channel.pipeline.syncOperations.addHandler(Handler(server))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        port = channel.localAddress?.port ?? 0
        shared.set(self)
    }

    /// What the channel's initializer looks the server up in, since it exists before the server does.
    private final class Reference: Sendable {
        private let cell = Mutex<ScriptedS3?>(nil)

        var server: ScriptedS3? { cell.withLock { $0 } }
        func set(_ server: ScriptedS3?) { cell.withLock { $0 = server } }
    }

    package var url: String { "http://127.0.0.1:\(port)" }

    /// Closes the port.
    package func stop() async { try? await channel.close() }

    /// Gives the next requests their acts.
    package func play(_ acts: Act...) { state.withLock { $0.script += acts } }

    /// What happens when the script has ended.
    package func standing(_ act: Act) { state.withLock { $0.standing = act } }

    /// While it is down, each connection is closed at once.
    package var isDown: Bool {
        get { state.withLock(\.isDown) }
        set { state.withLock { $0.isDown = newValue } }
    }

    package func removeBucket(_ name: String) { state.withLock { _ = $0.buckets.remove(name) } }
    package func addBucket(_ name: String) { state.withLock { _ = $0.buckets.insert(name) } }

    /// The puts that were stored last, by `BUCKET/KEY` still percent-encoded.
    package var objects: [String: Request] { state.withLock(\.objects) }
    package var requests: [Request] { state.withLock(\.requests) }

    private struct Silences {
        /// Requests that got none and that nobody has waited for yet.
        var unmet = 0
        var waiters: [Int: CheckedContinuation<Bool, Never>] = [:]
        var made = 0
    }

    private let silences = Mutex(Silences())

    /// Returns when a request has come in that will not be answered: what a client's patience ends with in a test.
    ///
    /// - Throws: `CancellationError`.
    package func waitForSilence() async throws {
        let number = silences.withLock { silences in
            silences.made += 1
            return silences.made
        }
        let isMet = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let outcome = silences.withLock { silences -> Bool? in
                    if Task.isCancelled { return false }
                    if silences.unmet > 0 {
                        silences.unmet -= 1
                        return true
                    }
                    silences.waiters[number] = continuation
                    return nil
                }
                if let outcome { continuation.resume(returning: outcome) }
            }
        } onCancel: {
            silences.withLock { $0.waiters.removeValue(forKey: number) }?.resume(returning: false)
        }
        if !isMet { throw CancellationError() }
    }

    func noteSilence() {
        let waiter = silences.withLock { silences -> CheckedContinuation<Bool, Never>? in
            guard let (number, waiter) = silences.waiters.first else {
                silences.unmet += 1
                return nil
            }
            silences.waiters[number] = nil
            return waiter
        }
        waiter?.resume(returning: true)
    }

    func nextAct() -> Act {
        state.withLock { $0.script.isEmpty ? $0.standing : $0.script.removeFirst() }
    }
}

/// One connection; used on its event loop alone.
private final class Handler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let server: ScriptedS3
    private var request: ScriptedS3.Request?
    private var act = ScriptedS3.Act.answer

    init(_ server: ScriptedS3) { self.server = server }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            request = ScriptedS3.Request(
                method: head.method.rawValue, uri: head.uri, headers: head.headers.map { ($0.name, $0.value) })
            act = server.nextAct()
            cutIfDue(context)
        case .body(let bytes):
            request?.body += Array(bytes.readableBytesView)
            cutIfDue(context)
        case .end:
            guard let request else { return }
            self.request = nil
            server.state.withLock { $0.requests.append(request) }
            perform(request, context)
        }
    }

    private func cutIfDue(_ context: ChannelHandlerContext) {
        guard case .cut(let count) = act, let cut = request, cut.body.count >= count else { return }
        request = nil
        server.state.withLock { $0.requests.append(cut) }
        context.close(promise: nil)
    }

    private func perform(_ request: ScriptedS3.Request, _ context: ChannelHandlerContext) {
        switch act {
        case .answer: answer(request, context)
        case .fail(let status, let code, let retryAfter):
            fail(status, code, retryAfter, request, context)
        case .cut: context.close(promise: nil)
        case .storeThenCut:
            store(request)
            context.close(promise: nil)
        case .silence(let stores):
            if stores { store(request) }
            server.noteSilence()
        }
    }

    private func store(_ request: ScriptedS3.Request) {
        server.state.withLock { $0.objects[String(request.uri.dropFirst())] = request }
    }

    private func answer(_ request: ScriptedS3.Request, _ context: ChannelHandlerContext) {
        let place = String(request.uri.dropFirst())
        let bucket = String(place.prefix { $0 != "/" })
        let (hasBucket, object) = server.state.withLock { ($0.buckets.contains(bucket), $0.objects[place]) }
        guard hasBucket else { return fail(404, "NoSuchBucket", nil, request, context) }
        switch request.method {
        case "PUT":
            store(request)
            respond(200, [], [], request, context)
        case "GET", "HEAD":
            guard let object else { return fail(404, "NoSuchKey", nil, request, context) }
            respond(200, [("etag", "\"etag\"")], object.body, request, context)
        default: fail(405, "MethodNotAllowed", nil, request, context)
        }
    }

    private func fail(
        _ status: Int, _ code: String, _ retryAfter: Int?, _ request: ScriptedS3.Request,
        _ context: ChannelHandlerContext
    ) {
        let body =
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>\(code)</Code><Message>told to</Message></Error>"
        let headers = retryAfter.map { [("retry-after", "\($0)")] } ?? []
        respond(status, headers, Array(body.utf8), request, context)
    }

    private func respond(
        _ status: Int, _ headers: [(String, String)], _ body: [UInt8], _ request: ScriptedS3.Request,
        _ context: ChannelHandlerContext
    ) {
        var head = HTTPResponseHead(version: .http1_1, status: HTTPResponseStatus(statusCode: status))
        for (name, value) in headers { head.headers.add(name: name, value: value) }
        head.headers.add(name: "content-length", value: "\(body.count)")
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        if request.method != "HEAD" {
            context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: body)))), promise: nil)
        }
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    }
}

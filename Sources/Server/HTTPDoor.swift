// SPDX-License-Identifier: Apache-2.0
//
// Hummingbird's side of the gate: HTTP messages to `WireRequest` and back.

package import AWSWire
internal import Glibc
internal import HTTPTypes
internal import HummingbirdCore
package import Logging
package import NIOCore
internal import NIOHTTPTypes
internal import NIOPosix
internal import Synchronization

/// A request body as it comes from the network, not yet believed.
package struct IncomingBody: Sendable {
    package typealias Consumer = (ByteBuffer) async throws(AWSError) -> Void

    /// From Content-Length; nil when the length is not told in advance.
    package let contentLength: Int64?
    /// Whether a body may follow at all.
    package let isPresent: Bool
    /// Hands over the pieces, in order, once. Tells a waiting client to go on first (RFC 9110, 100-continue).
    package let pieces: @Sendable (Consumer) async throws(AWSError) -> Void

    package init(
        contentLength: Int64?, isPresent: Bool, pieces: @escaping @Sendable (Consumer) async throws(AWSError) -> Void
    ) {
        self.contentLength = contentLength
        self.isPresent = isPresent
        self.pieces = pieces
    }

    /// Reads all of it.
    ///
    /// - Throws: `RequestEntityTooLarge` (413) beyond `bytesMax`.
    package func collect(bytesMax: Int) async throws(AWSError) -> [UInt8] {
        guard isPresent else { return [] }
        if let contentLength, contentLength > Int64(bytesMax) { throw .bodyTooLarge(bytesMax) }
        var bytes: [UInt8] = []
        if let contentLength { bytes.reserveCapacity(Int(contentLength)) }
        try await pieces { (piece) async throws(AWSError) in
            guard bytes.count + piece.readableBytes <= bytesMax else { throw .bodyTooLarge(bytesMax) }
            bytes.append(contentsOf: piece.readableBytesView)
        }
        return bytes
    }
}

extension AWSError {
    package static func bodyTooLarge(_ bytesMax: Int) -> AWSError {
        AWSError("RequestEntityTooLarge", status: 413, "The request body may have at most \(bytesMax) bytes.")
    }

    /// S3's code and text for a client that stops sending.
    package static var requestTimeout: AWSError {
        AWSError(
            "RequestTimeout",
            "Your socket connection to the server was not read from or written to within the timeout "
                + "period. Idle connections will be closed.")
    }

    package static var incompleteBody: AWSError {
        AWSError(
            "IncompleteBody",
            "You did not provide the number of bytes specified by the Content-Length HTTP header")
    }
}

/// What the door does with each request.
package protocol RequestResponder: Sendable {
    func answer(
        _ request: WireRequest, body: IncomingBody, peerAddress: String, isSecure: Bool
    ) async -> WireAnswer

    /// Health and readiness pages, which are not calls.
    func page(_ path: String) -> (status: Int, text: String)?
}

/// The limits of the door; each has its own error.
package struct DoorLimits: Sendable {
    package var headerBytesMax = 64 << 10
    package var headersMax = 200
    /// How long a connection may be silent.
    package var idle: TimeAmount = .seconds(65)
    /// How long a client may take between two pieces of a body.
    package var bodyPiece: Duration = .seconds(30)

    package init() {}
}

/// Builds the HTTP server.
package enum HTTPDoor {
    package typealias Running = @Sendable (_ port: Int) async -> Void

    /// Serves until the surrounding task group shuts down gracefully.
    package static func serve(
        host: String, port: Int, limits: DoorLimits, logger: Logger, group: any EventLoopGroup,
        responder: some RequestResponder, onRunning: @escaping Running
    ) async throws {
        let server = Server(
            childChannelSetup: LoopBoundChannel(
                inner: HTTP1Channel(
                    responder: { request, writer, channel in
                        try await respond(to: request, writer, channel, limits, responder)
                    },
                    configuration: .init(
                        additionalChannelHandlers: [UnreadableRequestHandler()], idleTimeout: limits.idle,
                        httpDecoderConfiguration: .init(
                            maxHeaderFieldSize: limits.headerBytesMax, maxHeaderListSize: limits.headerBytesMax,
                            maxHeaderFieldCount: limits.headersMax))),
                executors: LoopExecutors(group)),
            configuration: ServerConfigurationOfHummingbird(address: .hostname(host, port: port), backlog: 1024),
            onServerRunning: { channel in await onRunning(channel.localAddress?.port ?? port) },
            eventLoopGroup: group, logger: logger)
        do {
            try await server.run()
        } catch let error as IOError
            where error.errnoCode == EADDRINUSE || error.errnoCode == EADDRNOTAVAIL || error.errnoCode == EACCES
        {
            throw DoorProblem(
                description: "cannot listen on \(host):\(port): \(String(cString: strerror(error.errnoCode))); "
                    + "choose another address with --listen")
        }
    }

    @concurrent private static func respond(
        to request: Request, _ writer: consuming ResponseWriter, _ channel: any Channel, _ limits: DoorLimits,
        _ responder: some RequestResponder
    ) async throws {
        let head = request.head
        let target = head.path ?? "/"
        if head.method == .get, let page = responder.page(target) {
            var response = HTTPResponse(status: .init(code: page.status))
            let text = ByteBuffer(string: page.text)
            response.headerFields[.contentType] = "text/plain; charset=utf-8"
            response.headerFields[.contentLength] = "\(text.readableBytes)"
            return try await writer.write(response: response, body: ResponseBody(byteBuffer: text))
        }
        var headers: [WireHeader] = []
        headers.reserveCapacity(head.headerFields.count + 1)
        if let authority = head.authority { headers.append(WireHeader("host", authority)) }
        for field in head.headerFields { headers.append(WireHeader(field.name.canonicalName, field.value)) }

        let answer: WireAnswer
        let reading = BodyReading()
        do throws(AWSError) {
            let wire = try WireRequest(method: head.method.rawValue, target: target, headers: headers)
            let body = incomingBody(of: request, wire, channel, limits, reading)
            answer = await responder.answer(
                wire, body: body, peerAddress: channel.remoteAddress?.ipAddress ?? "127.0.0.1", isSecure: false)
        } catch {
            let id = UnreadableRequestHandler.requestID()
            answer = WireProtocol.restXML.error(
                error, requestID: id, hostID: id, resource: target, hasBody: head.method != .head)
        }

        var response = HTTPResponse(status: .init(code: answer.status))
        for header in answer.headers {
            if let name = HTTPField.Name(header.name) {
                response.headerFields.append(HTTPField(name: name, value: header.value))
            }
        }
        if answer.status != 204, answer.status != 304, response.headerFields[.contentLength] == nil {
            response.headerFields[.contentLength] = answer.length.map { "\($0)" }
        }
        let closes = leavesBody(headers, reading)
        if closes { response.headerFields[.connection] = "close" }
        defer { if closes { channel.eventLoop.execute { channel.close(promise: nil) } } }
        let isBodiless = head.method == .head || answer.status == 204 || answer.status == 304
        switch answer.body {
        case .bytes(let bytes):
            let body = isBodiless || bytes.isEmpty ? ResponseBody() : ResponseBody(byteBuffer: ByteBuffer(bytes: bytes))
            try await writer.write(response: response, body: body)
        case .stream(let stream) where stream.whole != nil && !isBodiless:
            try await writer.write(response: response, body: ResponseBody(byteBuffer: stream.whole ?? ByteBuffer()))
        case .stream(let stream):
            let body =
                isBodiless
                ? ResponseBody()
                : ResponseBody(contentLength: stream.length.map { Int($0) }) { writer in
                    let outlet = Outlet(writer: writer)
                    try await stream.write { piece in try await outlet.write(piece) }
                    try await outlet.finish()
                }
            try await writer.write(response: response, body: body)
        }
    }

    /// Bytes of an unread body that are passed over rather than answered by closing the connection.
    private static let passedOverMax: Int64 = 1 << 20

    /// Whether the body stays unread, so that the connection cannot be used again: a client that waits for `100 Continue`
    /// and gets an answer instead may or may not send its body, and a large one is not worth reading.
    private static func leavesBody(_ headers: [WireHeader], _ reading: BodyReading) -> Bool {
        guard !reading.isFinished else { return false }
        func value(_ name: String) -> String? { headers.first { $0.name == name }?.value }
        let isChunked = value("transfer-encoding") != nil
        let length = value("content-length").flatMap { Int64($0) } ?? 0
        guard isChunked || length > 0 else { return false }
        if reading.isStarted { return isChunked || length > passedOverMax }
        return isChunked || length > passedOverMax || value("expect") != nil
    }

    private static func incomingBody(
        of request: Request, _ wire: WireRequest, _ channel: any Channel, _ limits: DoorLimits, _ reading: BodyReading
    ) -> IncomingBody {
        let length = wire.header("content-length").flatMap { Int64($0) }
        let isChunked = wire.header("transfer-encoding") != nil
        let expectsContinue = wire.header("expect")?.lowercased() == "100-continue"
        let body = request.body
        return IncomingBody(contentLength: length, isPresent: isChunked || (length ?? 0) > 0) {
            (consumer) async throws(AWSError) in
            reading.start()
            if expectsContinue {
                channel.writeAndFlush(HTTPResponsePart.head(HTTPResponse(status: .continue)), promise: nil)
            }
            var received: Int64 = 0
            var iterator = body.makeAsyncIterator()
            while true {
                let watch = channel.eventLoop.scheduleTask(in: .nanoseconds(limits.bodyPiece.nanoseconds)) {
                    channel.pipeline.fireErrorCaught(BodyTimeout())
                    channel.close(mode: .input, promise: nil)
                }
                let piece: ByteBuffer?
                do {
                    piece = try await iterator.next()
                    watch.cancel()
                } catch {
                    watch.cancel()
                    throw error is BodyTimeout ? .requestTimeout : .incompleteBody
                }
                guard let piece else { break }
                received += Int64(piece.readableBytes)
                try await consumer(piece)
            }
            if let length, received < length { throw .incompleteBody }
            reading.finish()
        }
    }
}

/// The server cannot listen where it was told to.
package struct DoorProblem: Error, CustomStringConvertible {
    package let description: String
}

/// The writer of one answer, for the closure that an answer's stream is given.
private struct Outlet: @unchecked Sendable {  // used only by the task that answers the request
    let writer: any ResponseBodyWriter

    @concurrent func write(_ piece: ByteBuffer) async throws {
        var writer = writer
        try await writer.write(piece)
    }

    @concurrent func finish() async throws { try await writer.finish(nil) }
}

/// How far the body of a request has been read.
private final class BodyReading: Sendable {
    private let state = Mutex((isStarted: false, isFinished: false))

    var isStarted: Bool { state.withLock { $0.isStarted } }
    var isFinished: Bool { state.withLock { $0.isFinished } }
    func start() { state.withLock { $0.isStarted = true } }
    func finish() { state.withLock { $0.isFinished = true } }
}

private struct BodyTimeout: Error {}

extension Duration {
    fileprivate var nanoseconds: Int64 {
        components.seconds * 1_000_000_000 + components.attoseconds / 1_000_000_000
    }
}

private typealias ServerConfigurationOfHummingbird = HummingbirdCore.ServerConfiguration

/// Gives the answer to what is not HTTP (a second Content-Length, an endless header, a bad method) a body and a request id.
///
/// Hummingbird answers such requests with a bare 400 and closes; nothing in them names an operation, so nothing is recorded.
private final class UnreadableRequestHandler: ChannelOutboundHandler, RemovableChannelHandler {
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    private var replacesBody = false

    static func requestID() -> String {
        let digits = Array("0123456789ABCDEFGHJKMNPQRSTVWXYZ".utf8)
        return String(decoding: (0..<16).map { _ in digits[Int.random(in: 0..<32)] }, as: UTF8.self)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard case .head(var head) = unwrapOutboundIn(data), head.status == .badRequest,
            !head.headerFields.contains(.requestID), !head.headerFields.contains(.serviceRequestID)
        else { return context.write(data, promise: promise) }
        let id = Self.requestID()
        let error = AWSError(
            "BadRequest", "The request is not well-formed HTTP, or its header is larger than this server allows.")
        let answer = WireProtocol.restXML.error(error, requestID: id, hostID: id, resource: "", hasBody: true)
        guard case .bytes(let bytes) = answer.body else { return context.write(data, promise: promise) }
        head.headerFields[.requestID] = id
        head.headerFields[.contentType] = "application/xml"
        head.headerFields[.contentLength] = "\(bytes.count)"
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.write(wrapOutboundOut(.body(ByteBuffer(bytes: bytes))), promise: promise)
    }
}

extension HTTPField.Name {
    // Both spellings are tokens, so neither can be nil; the fallback keeps the compiler's peace.
    fileprivate static let requestID = HTTPField.Name("x-amz-request-id") ?? .contentType
    fileprivate static let serviceRequestID = HTTPField.Name("x-amzn-requestid") ?? .contentType
}

// SPDX-License-Identifier: Apache-2.0
//
// A client of other S3 servers: signature V4 in the header with the body's hash, Content-MD5 besides (RFC 1864; servers
// before 2025 know no other checksum), whole bodies in memory. What passes by itself (503 SlowDown, a lost connection) is
// tried again a few times here; what does not is the caller's next turn.

package import AWSWire
internal import AsyncHTTPClient
internal import Crypto
internal import Glibc
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import NIOSSL

/// Speaks to one S3 endpoint.
package struct S3Client: Sendable {
    /// Bounds and paces; tests lower them.
    package struct Limits: Sendable {
        /// Tries of one request, the first counted.
        package var triesMax = 3
        /// Wait before the second try, then doubled, each with up to half as much again by chance; milliseconds.
        package var waitFirst: Int64 = 200
        /// The longest wait; an endpoint that asks for a longer one is left to the caller's next turn. Milliseconds.
        package var waitMost: Int64 = 5_000
        /// Milliseconds until a connection stands.
        package var connect: Int64 = 5_000
        /// Milliseconds until an answer is there, more for long bodies: see `bytesPerSecondMin`.
        package var answer: Int64 = 30_000
        /// What a body's bytes are reckoned to take at worst.
        package var bytesPerSecondMin: Int64 = 128 << 10
        /// Bytes of an error's body that are read.
        package var errorBytesMax = 64 << 10

        package init() {}
    }

    /// What the world outside gives.
    package struct Surroundings: Sendable {
        package var clock: Clock
        /// Passes so many milliseconds between two tries.
        package var pause: @Sendable (Int64) async throws -> Void
        /// Ends when a request has had so many milliseconds; throws when it is cancelled, since there is an answer.
        package var patience: @Sendable (Int64) async throws -> Void
        /// A number from 0 to 1.
        package var chance: @Sendable () -> Double

        package init(
            clock: @escaping Clock, pause: @escaping @Sendable (Int64) async throws -> Void,
            patience: @escaping @Sendable (Int64) async throws -> Void, chance: @escaping @Sendable () -> Double
        ) {
            self.clock = clock
            self.pause = pause
            self.patience = patience
            self.chance = chance
        }
    }

    /// The certificate authorities of an endpoint cannot be used; the text names the file.
    package struct AuthoritiesProblem: Error, CustomStringConvertible {
        package let description: String
    }

    package let endpoint: S3Endpoint
    private let credentials: S3Credentials.Source
    private let limits: Limits
    private let surroundings: Surroundings
    private let configuration: HTTPClient.Configuration

    /// - Throws: when the file of certificate authorities cannot be read.
    package init(
        _ endpoint: S3Endpoint, credentials: S3Credentials.Source, limits: Limits, surroundings: Surroundings
    ) throws(AuthoritiesProblem) {
        self.endpoint = endpoint
        self.credentials = credentials
        self.limits = limits
        self.surroundings = surroundings
        var tls = TLSConfiguration.makeClientConfiguration()
        if let file = endpoint.trustedAuthorities {
            do {
                tls.additionalTrustRoots = [.certificates(try NIOSSLCertificate.fromPEMFile(file))]
            } catch {
                throw AuthoritiesProblem(
                    description: "the file `\(file)` must hold certificates in PEM form; it cannot be read: \(error)")
            }
        }
        var configuration = HTTPClient.Configuration(tlsConfiguration: tls)
        configuration.redirectConfiguration = .disallow
        configuration.timeout = .init(connect: .milliseconds(limits.connect))
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.httpVersion = .http1Only
        self.configuration = configuration
    }

    // MARK: Requests

    /// Writes an object whole; the same key may be written again.
    ///
    /// - Parameter headers: names in lower case; content type and encoding, metadata, encryption and the like.
    /// - Throws: with `mayHaveWritten` false only when it is certain that nothing was written.
    package func put(
        bucket: String, key: String, body: [UInt8], headers: [WireHeader]
    ) async throws(S3ClientError) {
        let hash = Array(Insecure.MD5.hash(data: body))
        _ = try await perform(
            "PUT", bucket, key, headers + [WireHeader("content-md5", Base64.encode(hash))], body, bytesMax: 0)
    }

    /// An object as HEAD tells of it.
    package struct ObjectHead: Sendable, Equatable {
        package var size: Int
        /// Without its quotes; for objects written whole and not under a KMS key the MD5 in hexadecimal.
        package var etag: String
    }

    /// - Returns: nil when there is no such object, or no such bucket.
    package func head(bucket: String, key: String) async throws(S3ClientError) -> ObjectHead? {
        do throws(S3ClientError) {
            let answer = try await perform("HEAD", bucket, key, [], [], bytesMax: 0)
            return ObjectHead(
                size: answer.headers.first(name: "content-length").flatMap { Int($0) } ?? 0,
                etag: (answer.headers.first(name: "etag") ?? "").filter { $0 != "\"" })
        } catch {
            if error.status == 404 { return nil }
            throw error
        }
    }

    /// The object's bytes as they are stored.
    ///
    /// - Parameter bytesMax: a larger one is refused.
    package func get(bucket: String, key: String, bytesMax: Int) async throws(S3ClientError) -> [UInt8] {
        try await perform("GET", bucket, key, [], [], bytesMax: bytesMax).body
    }

    private struct Answer: Sendable {
        var headers: HTTPHeaders
        var body: [UInt8]
    }

    /// Sends a request until it is answered, within the limits.
    private func perform(
        _ method: String, _ bucket: String, _ key: String, _ headers: [WireHeader], _ body: [UInt8], bytesMax: Int
    ) async throws(S3ClientError) -> Answer {
        // A client for each request: they are minutes apart, and nothing is left behind.
        let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
        let outcome: Result<Answer, S3ClientError>
        do throws(S3ClientError) {
            outcome = .success(try await perform(on: client, method, bucket, key, headers, body, bytesMax))
        } catch {
            outcome = .failure(error)
        }
        try? await client.shutdown()
        return try outcome.get()
    }

    private func perform(
        on client: HTTPClient, _ method: String, _ bucket: String, _ key: String, _ headers: [WireHeader],
        _ body: [UInt8], _ bytesMax: Int
    ) async throws(S3ClientError) -> Answer {
        var tries = 0
        var isDoubtful = false
        while true {
            tries += 1
            do throws(S3ClientError) {
                return try await once(on: client, method, bucket, key, headers, body, bytesMax)
            } catch {
                var problem = error
                isDoubtful = isDoubtful || problem.mayHaveWritten
                problem.mayHaveWritten = isDoubtful
                guard let wait = wait(after: problem, tries: tries) else { throw problem }
                do { try await surroundings.pause(wait) } catch { throw problem }
            }
        }
    }

    /// Milliseconds until the next try; nil for none.
    private func wait(after problem: S3ClientError, tries: Int) -> Int64? {
        // What has already taken its full time is not waited for again: others are waiting too.
        guard problem.kind == .unavailable || problem.kind == .interrupted, tries < limits.triesMax else { return nil }
        let doubled = min(limits.waitFirst << Int64(min(tries - 1, 20)), limits.waitMost)
        let own = doubled + Int64(Double(doubled) / 2 * surroundings.chance())
        let asked = (problem.retryAfter ?? 0) * 1000
        return asked > limits.waitMost ? nil : max(own, asked)
    }

    private func once(
        on client: HTTPClient, _ method: String, _ bucket: String, _ key: String, _ headers: [WireHeader],
        _ body: [UInt8], _ bytesMax: Int
    ) async throws(S3ClientError) -> Answer {
        let request = try signed(method, bucket, key, headers, body)
        let allowed = limits.answer + Int64(body.count) * 1000 / limits.bytesPerSecondMin
        let patience = surroundings.patience
        let outcome = await withTaskGroup(of: Result<Answer, S3ClientError>?.self) { group in
            group.addTask {
                do throws(S3ClientError) {
                    return .success(try await exchange(on: client, method, request, bytesMax))
                } catch {
                    return .failure(error)
                }
            }
            group.addTask {
                do { try await patience(allowed) } catch { return nil }
                return .failure(S3ClientError(.timedOut, "\(endpoint.url) gave no answer in \(allowed) ms"))
            }
            var outcome: Result<Answer, S3ClientError>?
            while outcome == nil, let next = await group.next() { outcome = next }
            group.cancelAll()
            return outcome
        }
        guard let outcome else { throw S3ClientError(.interrupted, "the request was given up") }
        return try outcome.get()
    }

    private func exchange(
        on client: HTTPClient, _ method: String, _ request: HTTPClientRequest, _ bytesMax: Int
    ) async throws(S3ClientError) -> Answer {
        do {
            let response = try await client.execute(request, deadline: .distantFuture)
            let isGood = (200..<300).contains(Int(response.status.code))
            if method == "HEAD" { return try Self.checked(response, []) }
            if isGood, bytesMax == 0 { return Answer(headers: response.headers, body: []) }
            let body = try await response.body.collect(upTo: isGood ? bytesMax : limits.errorBytesMax)
            return try Self.checked(response, Array(body.readableBytesView))
        } catch let error as S3ClientError {
            throw error
        } catch {
            throw problem(with: error)
        }
    }

    private func signed(
        _ method: String, _ bucket: String, _ key: String, _ headers: [WireHeader], _ body: [UInt8]
    ) throws(S3ClientError) -> HTTPClientRequest {
        let keys = try credentials.current()
        let signer = RequestSigner(
            accessKeyID: keys.accessKeyID, secret: keys.secret, sessionToken: keys.sessionToken?.revealed,
            region: endpoint.region, service: "s3", family: .s3)
        let place = endpoint.place(of: bucket, key: key)
        let unsigned: WireRequest
        do {
            unsigned = try WireRequest(
                method: method, target: place.path, headers: [WireHeader("host", place.host)] + headers)
        } catch {
            throw S3ClientError(.refused, code: error.code, error.message)
        }
        let added = signer.headers(signing: unsigned, payload: .hash(of: body), at: surroundings.clock())
        var request = HTTPClientRequest(url: "\(endpoint.isSecure ? "https" : "http")://\(place.host)\(place.path)")
        request.method = HTTPMethod(rawValue: method)
        for header in unsigned.headers + added { request.headers.add(name: header.name, value: header.value) }
        request.headers.add(name: "user-agent", value: "cairn")
        if method == "PUT" { request.body = .bytes(ByteBuffer(bytes: body)) }
        return request
    }

    // MARK: Answers

    /// - Throws: the error that the answer tells of.
    private static func checked(_ response: HTTPClientResponse, _ body: [UInt8]) throws(S3ClientError) -> Answer {
        let status = Int(response.status.code)
        guard !(200..<300).contains(status) else { return Answer(headers: response.headers, body: body) }
        var code: String?
        var message: String?
        if !body.isEmpty, let document = try? XMLDocument.parse(body), case .structure(let members) = document.content {
            code = members["Code"]?.asString
            message = members["Message"]?.asString
        }
        throw S3ClientError(
            status: status, code: code, message: message,
            retryAfter: response.headers.first(name: "retry-after").flatMap { Int64($0) })
    }

    private static let connectionFailures: Set<CInt> = [
        ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, EADDRNOTAVAIL, EHOSTDOWN, ENETDOWN,
    ]

    /// What the HTTP library says, as a kind of failure.
    private func problem(with error: any Error) -> S3ClientError {
        let text = "\(endpoint.url): \(error)"
        switch error {
        case let error as HTTPClientError:
            switch error {
            case .connectTimeout, .tlsHandshakeTimeout, .getConnectionFromPoolTimeout:
                return S3ClientError(.unreachable, text)
            case .deadlineExceeded, .readTimeout, .writeTimeout: return S3ClientError(.timedOut, text)
            default: return S3ClientError(.interrupted, text)
            }
        case let error as IOError where Self.connectionFailures.contains(error.errnoCode):
            return S3ClientError(.unreachable, text)
        case is NIOConnectionError, is NIOSSLError, is NIOSSLExtraError: return S3ClientError(.unreachable, text)
        default: return S3ClientError(.interrupted, text)
        }
    }
}

// SPDX-License-Identifier: Apache-2.0

import AWSClient
import AWSWire
import ScriptedS3
import Synchronization
import Testing

/// A client of a scripted server, with pauses that pass at once and are counted.
private struct Bench {
    let server: ScriptedS3
    let client: S3Client
    let pauses = Pauses()

    final class Pauses: Sendable {
        private let taken = Mutex<[Int64]>([])

        var list: [Int64] { taken.withLock { $0 } }
        func take(_ milliseconds: Int64) { taken.withLock { $0.append(milliseconds) } }
    }

    init() async throws {
        let server = try await ScriptedS3()
        self.server = server
        let endpoint = try #require(
            S3Endpoint(
                name: "scripted", url: server.url, region: "eu-west-9", addressing: .path,
                encryption: .bucketDefault, acl: nil, trustedAuthorities: nil))
        let pauses = pauses
        client = try S3Client(
            endpoint, credentials: .given(S3Credentials(accessKeyID: "AKID", secret: SecretKey("secret"))),
            limits: S3Client.Limits(),
            surroundings: S3Client.Surroundings(
                clock: { Timestamp(seconds: 1_795_552_635) }, pause: { pauses.take($0) },
                patience: { _ in try await server.waitForSilence() }, chance: { 0 }))
    }

    func put(_ key: String = "a/b", _ body: [UInt8] = Array("body".utf8)) async throws(S3ClientError) {
        try await client.put(bucket: "logs", key: key, body: body, headers: [WireHeader("x-amz-meta-a", "1")])
    }

    func failure(_ key: String = "a/b", _ body: [UInt8] = Array("body".utf8)) async -> S3ClientError? {
        do throws(S3ClientError) {
            try await put(key, body)
            return nil
        } catch {
            return error
        }
    }
}

@Suite(.timeLimit(.minutes(2))) struct S3ClientTests {
    @Test func `an object is put, told of and read back`() async throws {
        let bench = try await Bench()
        try await bench.put("a/b c+é//d")
        #expect(Array(bench.server.objects.keys) == ["logs/a/b%20c%2B%C3%A9//d"])
        #expect(try await bench.client.head(bucket: "logs", key: "a/b c+é//d")?.size == 4)
        #expect(try await bench.client.get(bucket: "logs", key: "a/b c+é//d", bytesMax: 100) == Array("body".utf8))
        #expect(try await bench.client.head(bucket: "logs", key: "none") == nil)
        await #expect(throws: S3ClientError.self) {
            try await bench.client.get(bucket: "logs", key: "a/b c+é//d", bytesMax: 3)
        }
        await bench.server.stop()
    }

    @Test func `a put carries hash, MD5, metadata and a signature over them`() async throws {
        let bench = try await Bench()
        try await bench.put()
        let request = try #require(bench.server.requests.first)
        #expect(request.header("content-md5") == "hBotaJrYa9FhFEdFPCLG/A==")
        #expect(
            request.header("x-amz-content-sha256")
                == "230d8358dc8e8890b4c58deeb62912ee2f20357ae92a5cc861b98e68fe31acb5")
        #expect(request.header("x-amz-meta-a") == "1" && request.header("content-length") == "4")
        #expect(request.header("host") == "127.0.0.1:\(bench.server.port)")
        let authorization = try #require(request.header("authorization"))
        #expect(authorization.contains("Credential=AKID/20261124/eu-west-9/s3/aws4_request"))
        #expect(
            authorization.contains("SignedHeaders=content-md5;host;x-amz-content-sha256;x-amz-date;x-amz-meta-a"))
        // The signature is right: made again from what arrived, it is the same.
        let signer = RequestSigner(
            accessKeyID: "AKID", secret: SecretKey("secret"), region: "eu-west-9", service: "s3", family: .s3)
        let names = ["host", "content-md5", "x-amz-meta-a"]
        let arrived = try WireRequest(
            method: request.method, target: request.uri,
            headers: names.compactMap { name in request.header(name).map { WireHeader(name, $0) } })
        let again = signer.headers(
            signing: arrived, payload: .hash(of: request.body), at: Timestamp(seconds: 1_795_552_635))
        #expect(again.first { $0.name == "authorization" }?.value == authorization)
        await bench.server.stop()
    }

    @Test func `throttling is waited out, each wait twice the last`() async throws {
        let bench = try await Bench()
        bench.server.play(.fail(status: 503, code: "SlowDown"), .fail(status: 500, code: "InternalError"))
        try await bench.put()
        #expect(bench.server.requests.count == 3 && bench.server.objects.count == 1)
        #expect(bench.pauses.list == [200, 400])
        await bench.server.stop()
    }

    @Test func `an endpoint is waited for as long as it asks, within the limit`() async throws {
        let bench = try await Bench()
        bench.server.play(.fail(status: 503, code: "SlowDown", retryAfter: 2))
        try await bench.put()
        #expect(bench.pauses.list == [2_000])
        bench.server.play(.fail(status: 503, code: "SlowDown", retryAfter: 3_600))
        let error = await bench.failure()
        #expect(error?.code == "SlowDown" && error?.kind == .unavailable)
        #expect(bench.pauses.list == [2_000])
        await bench.server.stop()
    }

    @Test func `throttling without end is told`() async throws {
        let bench = try await Bench()
        bench.server.standing(.fail(status: 503, code: "SlowDown"))
        let error = await bench.failure()
        #expect(error?.code == "SlowDown" && error?.status == 503 && error?.mayHaveWritten == true)
        #expect(bench.server.requests.count == 3)
        await bench.server.stop()
    }

    @Test(arguments: [0, 1, 200_000])
    func `a connection that is lost in the middle of a put is made again`(_ bytes: Int) async throws {
        let bench = try await Bench()
        let body = (0..<400_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        bench.server.play(.cut(afterBytes: bytes))
        try await bench.put("k", body)
        #expect(bench.server.objects["logs/k"]?.body == body)
        #expect(bench.server.requests.count == 2)
        await bench.server.stop()
    }

    @Test func `a put whose answer is lost is put again under the same key`() async throws {
        let bench = try await Bench()
        bench.server.play(.storeThenCut)
        try await bench.put()
        #expect(bench.server.objects.count == 1 && bench.server.requests.count == 2)
        await bench.server.stop()
    }

    @Test func `a refusal after a lost answer does not prove that nothing was written`() async throws {
        let bench = try await Bench()
        bench.server.play(.storeThenCut, .fail(status: 403, code: "AccessDenied"))
        let error = await bench.failure()
        #expect(error?.kind == .refused && error?.code == "AccessDenied" && error?.mayHaveWritten == true)
        await bench.server.stop()
    }

    @Test(arguments: [
        (403, "AccessDenied"), (404, "NoSuchBucket"), (400, "BadDigest"), (501, "NotImplemented"),
        (301, "PermanentRedirect"),
    ])
    func `a refusal is told at once, and nothing was written`(_ status: Int, _ code: String) async throws {
        let bench = try await Bench()
        bench.server.play(.fail(status: status, code: code))
        let error = await bench.failure()
        #expect(error?.kind == .refused && error?.code == code && error?.status == status)
        #expect(error?.mayHaveWritten == false && error?.message == "told to")
        #expect(bench.pauses.list.isEmpty && bench.server.requests.count == 1)
        await bench.server.stop()
    }

    @Test(arguments: [(400, "RequestTimeout"), (409, "OperationAborted"), (429, "TooManyRequests")])
    func `some codes pass although they are the client's fault by their status`(
        _ status: Int, _ code: String
    ) async throws {
        let bench = try await Bench()
        bench.server.play(.fail(status: status, code: code))
        try await bench.put()
        #expect(bench.server.requests.count == 2)
        await bench.server.stop()
    }

    @Test(arguments: [false, true])
    func `an endpoint that never answers is left to the next turn`(_ stores: Bool) async throws {
        let bench = try await Bench()
        bench.server.standing(.silence(stores: stores))
        let error = await bench.failure()
        #expect(error?.kind == .timedOut && error?.code == "RequestTimeout" && error?.mayHaveWritten == true)
        #expect(bench.server.requests.count == 1)
        await bench.server.stop()
    }

    @Test func `where nobody listens nothing can have been written`() async throws {
        let bench = try await Bench()
        await bench.server.stop()
        let error = await bench.failure()
        #expect(error?.kind == .unreachable && error?.mayHaveWritten == false, "\(String(describing: error))")
        #expect(error?.code == "ServiceUnavailable" && error?.message.contains(bench.server.url) == true)
    }
}

// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import AWSWire
import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import Server

/// Cairn's own HTTP interface of a running server, as its first account's root.
struct OwnInterface {
    let access: ClientAccess
    let client: HTTPClient

    /// No server listens where the data folder's last one did.
    struct Unreachable: Error, CustomStringConvertible {
        let endpoint: String

        var description: String { "no server answers at \(endpoint); start it with `cairn serve`" }
    }

    /// Gives the body a client that does not try again when nobody listens.
    static func connect<Result: Sendable>(
        _ access: ClientAccess, _ body: @Sendable (OwnInterface) async throws -> Result
    ) async throws -> Result {
        var configuration = HTTPClient.Configuration()
        configuration.connectionPool.retryConnectionEstablishment = false
        let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
        do {
            let result = try await body(OwnInterface(access: access, client: client))
            try await client.shutdown()
            return result
        } catch {
            try await client.shutdown()
            throw error
        }
    }

    /// Sends a signed request; returns when a good answer's header has come.
    ///
    /// - Parameter tries: how often it is sent when the server says that it is busy and when to come again.
    /// - Throws: `Unreachable`; a text for the user when the server refused it.
    func post(
        _ target: String, body: [UInt8], timeout: TimeAmount = .minutes(10), tries: Int = 1
    ) async throws -> HTTPClientResponse {
        for _ in 1..<tries {
            let response = try await send(target, body: body, timeout: timeout)
            guard response.status == .tooManyRequests || response.status == .serviceUnavailable,
                let wait = response.headers.first(name: "retry-after").flatMap({ Int($0) })
            else { return try await checked(response) }
            _ = try await response.body.collect(upTo: 1 << 20)
            try await Task.sleep(for: .seconds(min(max(wait, 1), 30)))
        }
        return try await checked(try await send(target, body: body, timeout: timeout))
    }

    private func send(_ target: String, body: [UInt8], timeout: TimeAmount) async throws -> HTTPClientResponse {
        guard let url = URL(string: access.endpoint), let host = url.host else {
            throw ValidationError("the server's address `\(access.endpoint)` is no URL")
        }
        let authority = url.port.map { "\(host):\($0)" } ?? host
        let wire = try WireRequest(method: "POST", target: target, headers: [WireHeader("host", authority)])
        let (keyID, secret) = try access.key()
        let signer = RequestSigner(
            accessKeyID: keyID, secret: secret, region: access.region, service: "cairn",
            family: .json)
        var request = HTTPClientRequest(url: access.endpoint + target)
        request.method = .POST
        request.headers.add(name: "user-agent", value: "cairn/0.1.0")
        for header in signer.headers(signing: wire, payload: .hash(of: body), at: SystemTime.now()) {
            request.headers.add(name: header.name, value: header.value)
        }
        request.body = .bytes(ByteBuffer(bytes: body))
        do {
            return try await client.execute(request, timeout: timeout)
        } catch is NIOConnectionError {
            throw Unreachable(endpoint: access.endpoint)
        } catch let error as IOError where error.errnoCode == ECONNREFUSED {
            throw Unreachable(endpoint: access.endpoint)
        }
    }

    private func checked(_ response: HTTPClientResponse) async throws -> HTTPClientResponse {
        guard response.status == .ok else {
            let text = try await response.body.collect(upTo: 1 << 20)
            let answer = try? WireValue(json: Array(text.readableBytesView)).asStructure
            let message = answer?["message"]?.asString ?? String(buffer: text)
            throw ValidationError("the server refused it with status \(response.status.code): \(message)")
        }
        return response
    }
}

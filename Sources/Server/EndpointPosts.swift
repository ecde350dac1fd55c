// SPDX-License-Identifier: Apache-2.0

internal import AWSWire
internal import AsyncHTTPClient
internal import Messaging
internal import NIOCore
internal import NIOHTTP1
internal import NIOSSL

/// Sends what topics tell to HTTP endpoints, within limits: an answer is due in fifteen seconds, and its content is of no
/// interest. Redirects are not followed.
struct EndpointPosts: Sendable {
    private static let timeout = TimeAmount.seconds(15)

    private let client: HTTPClient

    /// - Parameter trustedAuthorities: a PEM file of certificate authorities that are believed besides the system's.
    /// - Throws: `ConfigurationProblem` that names a file which cannot be read.
    init(trustedAuthorities: String?) throws(ConfigurationProblem) {
        var configuration = HTTPClient.Configuration(
            tlsConfiguration: try ProviderDocuments.tls(trustedAuthorities: trustedAuthorities))
        configuration.redirectConfiguration = .disallow
        configuration.timeout = .init(connect: .seconds(5), read: Self.timeout)
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.httpVersion = .http1Only
        client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }

    /// - Returns: the status.
    /// - Throws: where there was no answer in time.
    func send(_ post: EndpointPost) async throws -> Int {
        var request = HTTPClientRequest(url: post.url)
        request.method = .POST
        for header in post.headers { request.headers.add(name: header.name, value: header.value) }
        request.body = .bytes(post.body)
        let response = try await client.execute(request, timeout: Self.timeout)
        return Int(response.status.code)
    }

    func close() async { try? await client.shutdown() }
}

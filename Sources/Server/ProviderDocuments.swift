// SPDX-License-Identifier: Apache-2.0

internal import AsyncHTTPClient
internal import NIOCore
internal import NIOHTTP1
internal import NIOSSL

/// Gets the documents of identity providers over HTTPS, within limits.
///
/// Only providers that an account has registered are asked. Redirects are not followed, and answers are small and soon.
struct ProviderDocuments: Sendable {
    private static let bytesMax = 256 << 10
    private static let timeout = TimeAmount.seconds(5)

    private let configuration: HTTPClient.Configuration

    /// - Parameter trustedAuthorities: a PEM file of certificate authorities that are believed besides the system's.
    /// - Throws: `ConfigurationProblem` that names a file which cannot be read.
    init(trustedAuthorities: String?) throws(ConfigurationProblem) {
        var configuration = HTTPClient.Configuration(
            tlsConfiguration: try Self.tls(trustedAuthorities: trustedAuthorities))
        configuration.redirectConfiguration = .disallow
        configuration.timeout = .init(connect: Self.timeout, read: Self.timeout)
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.httpVersion = .http1Only
        self.configuration = configuration
    }

    /// How servers outside are believed, which other clients of ours share.
    static func tls(trustedAuthorities: String?) throws(ConfigurationProblem) -> TLSConfiguration {
        var tls = TLSConfiguration.makeClientConfiguration()
        guard let trustedAuthorities else { return tls }
        do {
            tls.additionalTrustRoots = [.certificates(try NIOSSLCertificate.fromPEMFile(trustedAuthorities))]
        } catch {
            throw ConfigurationProblem(
                "the file `\(trustedAuthorities)` that `trusted-ca` names must hold certificates in PEM form; it "
                    + "cannot be read: \(error)")
        }
        return tls
    }

    /// The document at a URL.
    func get(_ url: String) async throws -> [UInt8] {
        // Asked about once an hour for each provider: a client for each question leaves nothing behind.
        let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
        do {
            var request = HTTPClientRequest(url: url)
            request.headers.add(name: "accept", value: "application/json")
            let response = try await client.execute(request, timeout: Self.timeout)
            guard response.status == .ok else { throw ProviderProblem("\(url) answered \(response.status.code)") }
            let body = try await response.body.collect(upTo: Self.bytesMax)
            try await client.shutdown()
            return Array(body.readableBytesView)
        } catch {
            try? await client.shutdown()
            throw error
        }
    }
}

/// Why a provider's document was not had, for the operator.
struct ProviderProblem: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

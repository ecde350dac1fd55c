// SPDX-License-Identifier: Apache-2.0

package import AWSWire

/// Which service a request is for, where one endpoint serves them all.
///
/// In this order: the credential scope of the signature; `X-Amz-Target`; `POST /signin`; the first label of `Host`; the version of the
/// Query API in `Action=...&Version=...`; else S3, whose requests need no mark.
package struct ServiceDirectory: Sendable {
    private let services: [String: Service]

    package init(_ services: [Service]) {
        self.services = Dictionary(services.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    }

    /// The service of that name, built or not; nil for a name that cannot be one.
    private func service(named name: String, for request: WireRequest) -> Service? {
        if let service = services[name] { return service }
        guard !name.isEmpty, name.utf8.count <= 32, name.utf8.allSatisfy(Self.isNameByte) else { return nil }
        return Self.stranger(name, for: request)
    }

    /// - Parameters:
    ///   - scope: the service in the credential scope, for signed requests.
    ///   - form: the parameters of a form body, for requests that are not signed.
    package func service(for request: WireRequest, scope: String?, form: [WireQueryItem]) -> Service? {
        if let scope { return service(named: scope, for: request) }
        if let target = request.header("x-amz-target"), let dot = target.lastIndex(of: ".") {
            let prefix = String(target[..<dot])
            if let found = services.values.first(where: { $0.targetPrefixes.contains(prefix) }) { return found }
            let word = prefix.split(whereSeparator: { $0 == "_" || $0 == "." }).first.map { $0.lowercased() } ?? ""
            return service(named: word, for: request)
        }
        if request.method == "POST", request.rawPath == "/signin",
            request.header("content-type")?.hasPrefix("application/json") == true, let found = services["signin"]
        {
            return found
        }
        if let label = request.header("host")?.split(separator: ".").first, let found = services[label.lowercased()] {
            return found
        }
        let items = form.isEmpty ? request.query : form
        if items.contains(where: { $0.name == "Action" }) {
            let version = items.first { $0.name == "Version" }?.value
            let found = services.values.first { service in
                if case .query(let known, _) = service.wireProtocol { known == version } else { false }
            }
            return found ?? Self.stranger("unknown", for: request)
        }
        return services["s3"]
    }

    /// A service that AWS may have and this server has not: its calls get their protocol's own error, and are recorded.
    private static func stranger(_ name: String, for request: WireRequest) -> Service {
        let wireProtocol: WireProtocol
        let contentType = request.header("content-type") ?? ""
        if request.header("x-amz-target") != nil {
            wireProtocol = .json(version: contentType.hasSuffix("1.0") ? "1.0" : "1.1")
        } else if contentType.hasPrefix("application/x-www-form-urlencoded") || request.hasQuery("Action") {
            wireProtocol = .query(version: "unknown", namespace: "https://\(name).amazonaws.com/doc/")
        } else {
            wireProtocol = .restJSON
        }
        return Service(name, wireProtocol, owner: NoService(), operations: [])
    }

    private struct NoService: Sendable {}

    private static func isNameByte(_ byte: UInt8) -> Bool {
        (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte) || byte == UInt8(ascii: "-")
    }
}

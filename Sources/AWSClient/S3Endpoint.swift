// SPDX-License-Identifier: Apache-2.0

internal import AWSWire

/// An S3 server that is not this one: where it stands and how it wants to be spoken to.
package struct S3Endpoint: Sendable, Equatable {
    /// How a bucket is named in a request (Amazon S3 User Guide, "Virtual hosting of general purpose buckets").
    package enum Addressing: String, Sendable, CaseIterable {
        /// `https://HOST/BUCKET/KEY`, which every server understands.
        case path
        /// `https://BUCKET.HOST/KEY`, which Amazon S3 prefers.
        case virtual
    }

    /// What a written object's encryption headers say (Amazon S3 API Reference, PutObject).
    package enum Encryption: Sendable, Equatable {
        /// None are sent: the bucket's own default rules. Some servers refuse any such header.
        case bucketDefault
        /// `AES256`.
        case s3
        /// `aws:kms`, with the key of the server's own KMS; nil for the server's default key.
        case kms(keyID: String?)
    }

    /// As the operator calls it; stands in logs and errors.
    package var name: String
    package var isSecure: Bool
    /// Host name or address as in a URL, an IPv6 address in brackets.
    package var host: String
    /// Nil for the scheme's own.
    package var port: Int?
    /// The region that signatures name.
    package var region: String
    package var addressing: Addressing
    package var encryption: Encryption
    /// The canned ACL of written objects; nil sends none.
    package var acl: String?
    /// A PEM file of certificate authorities that are believed besides the system's.
    package var trustedAuthorities: String?

    /// - Parameters:
    ///   - name: as the operator calls it.
    ///   - url: `http://HOST[:PORT]` or `https://...`, with nothing after but a slash.
    /// - Returns: nil when the URL is not of that form.
    package init?(
        name: String, url: String, region: String, addressing: Addressing, encryption: Encryption, acl: String?,
        trustedAuthorities: String?
    ) {
        let rest: Substring
        if url.hasPrefix("https://") {
            isSecure = true
            rest = url.dropFirst(8)
        } else if url.hasPrefix("http://") {
            isSecure = false
            rest = url.dropFirst(7)
        } else {
            return nil
        }
        var authority = rest.last == "/" ? rest.dropLast() : rest
        if let colon = authority.lastIndex(of: ":"), authority.last != "]" {
            guard let port = Int(authority[authority.index(after: colon)...]), (1...65535).contains(port) else {
                return nil
            }
            self.port = port == (isSecure ? 443 : 80) ? nil : port
            authority = authority[..<colon]
        }
        let isBracketed = authority.first == "[" && authority.last == "]"
        let isHost = authority.utf8.allSatisfy { byte in
            Self.isHostByte(byte) || (isBracketed && [0x3A, 0x5B, 0x5D].contains(byte))
        }
        guard !authority.isEmpty, isHost else { return nil }
        host = authority.lowercased()
        self.name = name
        self.region = region
        self.addressing = addressing
        self.encryption = encryption
        self.acl = acl
        self.trustedAuthorities = trustedAuthorities
    }

    private static func isHostByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x61...0x7A, 0x41...0x5A, 0x30...0x39, UInt8(ascii: "."), UInt8(ascii: "-"): true
        default: false
        }
    }

    /// Whether the host is an address, which no bucket's name can be put before.
    package var isAddress: Bool {
        host.hasPrefix("[") || host.utf8.allSatisfy { $0 == 0x2E || (0x30...0x39).contains($0) }
    }

    /// As logs show it.
    package var url: String { "\(isSecure ? "https" : "http")://\(authority(of: host))" }

    private func authority(of host: String) -> String { port.map { "\(host):\($0)" } ?? host }

    /// The `Host` header and the path of a request, the path percent-encoded once as signatures want it.
    ///
    /// - Parameter key: nil for the bucket itself.
    package func place(of bucket: String, key: String?) -> (host: String, path: String) {
        let tail = key.map { PercentCoding.encode($0, keepSlash: true) } ?? ""
        return switch addressing {
        case .path: (authority(of: host), "/\(bucket)" + (key == nil ? "" : "/\(tail)"))
        case .virtual: (authority(of: "\(bucket).\(host)"), "/\(tail)")
        }
    }
}

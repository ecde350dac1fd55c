// SPDX-License-Identifier: Apache-2.0
//
// S3 endpoints outside, in the configuration file:
//
//     s3-endpoints:
//       NAME:                          # lower-case letters, digits and hyphens; stands in logs and errors
//         url: https://HOST[:PORT]     # or http://
//         buckets: [audit, team-*]     # the buckets that it holds; `*` stands for any text
//         region: us-east-1            # what signatures name
//         addressing: path             # or virtual
//         credentials-file: FILE       # as the AWS CLI's; without it the environment is asked for
//         credentials-profile: default #     CAIRN_S3_NAME_ACCESS_KEY_ID, ..._SECRET_ACCESS_KEY, ..._SESSION_TOKEN
//         trusted-ca: FILE             # PEM; believed besides the system's
//         encryption: none             # or AES256, or aws:kms: what the encryption header of each object says
//         kms-key-id: KEY              # of the endpoint's own KMS, with aws:kms
//         acl: bucket-owner-full-control  # or none
//
// The configuration library reads scalars and lists by name; names that the operator chooses are read from the YAML itself.

internal import AWSClient
internal import AWSWire
internal import Glibc
internal import Trails
internal import Yams

/// An S3 endpoint outside and the buckets that it holds.
struct S3EndpointConfiguration: Sendable {
    static let section = "s3-endpoints"
    private static let keys = [
        "url", "buckets", "region", "addressing", "credentials-file", "credentials-profile", "trusted-ca", "encryption",
        "kms-key-id", "acl",
    ]

    var endpoint: S3Endpoint
    var credentials: S3Credentials.Source
    var buckets: [OutsideBuckets.Pattern]

    /// Reads the section of a configuration file, in its order.
    ///
    /// - Throws: `ConfigurationProblem` that names the endpoint, the key and what it may be.
    static func read(
        yaml: String, environment: [String: String]
    ) throws(ConfigurationProblem) -> [S3EndpointConfiguration] {
        let root: Node?
        do { root = try Yams.compose(yaml: yaml) } catch {
            throw ConfigurationProblem("the configuration file is no YAML: \(error)")
        }
        guard let section = root?.mapping?[Node(Self.section)] else { return [] }
        guard let endpoints = section.mapping else {
            throw ConfigurationProblem("`\(Self.section)` in the configuration file must map names to endpoints")
        }
        var read: [S3EndpointConfiguration] = []
        for (name, settings) in endpoints {
            read.append(try S3EndpointConfiguration(name: name.string ?? "", settings, environment))
        }
        return read
    }

    private init(
        name: String, _ node: Node, _ environment: [String: String]
    ) throws(ConfigurationProblem) {
        let place = "`\(Self.section)`, endpoint `\(name)`, in the configuration file"
        guard !name.isEmpty, name.utf8.count <= 32, name.utf8.allSatisfy(Self.isNameByte) else {
            throw ConfigurationProblem("\(place): a name has lower-case letters, digits and hyphens, at most 32")
        }
        guard let settings = node.mapping else {
            throw ConfigurationProblem("\(place) must have the settings \(Self.keys.joined(separator: ", "))")
        }
        var values: [String: Node] = [:]
        for (key, value) in settings {
            guard let key = key.string, Self.keys.contains(key) else {
                throw ConfigurationProblem(
                    "\(place) has an unknown setting `\(key.string ?? "")`; there are "
                        + Self.keys.joined(separator: ", "))
            }
            values[key] = value
        }
        func text(_ key: String) throws(ConfigurationProblem) -> String? {
            guard let value = values[key] else { return nil }
            guard let text = value.string, !text.isEmpty else {
                throw ConfigurationProblem("\(place): `\(key)` must be a text")
            }
            return text
        }
        guard let url = try text("url") else { throw ConfigurationProblem("\(place) lacks `url`") }
        let addressing = try text("addressing") ?? S3Endpoint.Addressing.path.rawValue
        guard let addressing = S3Endpoint.Addressing(rawValue: addressing) else {
            throw ConfigurationProblem("\(place): `addressing` must be path or virtual, not `\(addressing)`")
        }
        let region = try text("region") ?? "us-east-1"
        guard region.utf8.count <= 64, region.utf8.allSatisfy(Self.isNameByte) else {
            throw ConfigurationProblem("\(place): `region` must be a region such as us-east-1, not `\(region)`")
        }
        let acl = try text("acl") ?? "bucket-owner-full-control"
        guard ["bucket-owner-full-control", "none"].contains(acl) else {
            throw ConfigurationProblem("\(place): `acl` must be bucket-owner-full-control or none, not `\(acl)`")
        }
        let encryption: S3Endpoint.Encryption
        let keyID = try text("kms-key-id")
        switch try text("encryption") ?? "none" {
        case "none": encryption = .bucketDefault
        case "AES256": encryption = .s3
        case "aws:kms": encryption = .kms(keyID: keyID)
        case let other:
            throw ConfigurationProblem("\(place): `encryption` must be none, AES256 or aws:kms, not `\(other)`")
        }
        if keyID != nil, encryption != .kms(keyID: keyID) {
            throw ConfigurationProblem("\(place): `kms-key-id` goes with `encryption: aws:kms`")
        }
        let endpoint = S3Endpoint(
            name: name, url: url, region: region, addressing: addressing, encryption: encryption,
            acl: acl == "none" ? nil : acl, trustedAuthorities: try text("trusted-ca"))
        guard let endpoint else {
            throw ConfigurationProblem(
                "\(place): `url` must be http://HOST[:PORT] or https://HOST[:PORT], not `\(url)`")
        }
        guard addressing == .path || !endpoint.isAddress else {
            throw ConfigurationProblem("\(place): `addressing: virtual` needs a host name in `url`, not an address")
        }
        self.endpoint = endpoint
        buckets = try Self.buckets(values["buckets"], place)
        credentials = try Self.credentials(
            file: try text("credentials-file"), profile: try text("credentials-profile"), name, environment, place)
    }

    private static func buckets(_ node: Node?, _ place: String) throws(ConfigurationProblem) -> [OutsideBuckets.Pattern]
    {
        var names: [String] = []
        if let items = node?.sequence {
            names = items.compactMap(\.string)
        } else if let text = node?.string {
            names = text.split(whereSeparator: { $0 == "," || $0 == " " }).map(String.init)
        }
        guard !names.isEmpty else {
            throw ConfigurationProblem(
                "\(place): `buckets` must name the buckets that it holds, such as [audit, team-*]")
        }
        for name in names {
            guard name.utf8.allSatisfy({ isNameByte($0) || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "*") }) else {
                throw ConfigurationProblem("\(place): `\(name)` in `buckets` is no name of a bucket")
            }
        }
        return names.map { OutsideBuckets.Pattern($0) }
    }

    private static func credentials(
        file: String?, profile: String?, _ name: String, _ environment: [String: String], _ place: String
    ) throws(ConfigurationProblem) -> S3Credentials.Source {
        if let file {
            var status = stat()
            if stat(file, &status) == 0, status.st_mode & 0o077 != 0 {
                throw ConfigurationProblem(
                    "\(place): the credentials file `\(file)` is open to other users; run chmod 600 on it")
            }
            let source = S3Credentials.Source.file(path: file, profile: profile ?? "default")
            do throws(S3ClientError) { _ = try source.current() } catch {
                throw ConfigurationProblem("\(place): \(error.message)")
            }
            return source
        }
        let prefix = "CAIRN_S3_" + name.uppercased().replacing("-", with: "_")
        guard let id = environment[prefix + "_ACCESS_KEY_ID"], let secret = environment[prefix + "_SECRET_ACCESS_KEY"]
        else {
            throw ConfigurationProblem(
                "\(place) needs `credentials-file`, or \(prefix)_ACCESS_KEY_ID and \(prefix)_SECRET_ACCESS_KEY in the "
                    + "environment")
        }
        return .given(
            S3Credentials(
                accessKeyID: id, secret: SecretKey(secret),
                sessionToken: environment[prefix + "_SESSION_TOKEN"].map { SecretKey($0) }))
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte) || byte == UInt8(ascii: "-")
    }
}

extension S3EndpointConfiguration {
    /// The buckets that these endpoints hold.
    ///
    /// - Throws: `ConfigurationProblem` that names a file of certificate authorities which cannot be read.
    static func buckets(
        _ endpoints: [S3EndpointConfiguration], surroundings: S3Client.Surroundings
    ) throws(ConfigurationProblem) -> OutsideBuckets {
        var held: [(client: S3Client, buckets: [OutsideBuckets.Pattern])] = []
        for endpoint in endpoints {
            do throws(S3Client.AuthoritiesProblem) {
                let client = try S3Client(
                    endpoint.endpoint, credentials: endpoint.credentials, limits: S3Client.Limits(),
                    surroundings: surroundings)
                held.append((client, endpoint.buckets))
            } catch {
                throw ConfigurationProblem(
                    "`\(section)`, endpoint `\(endpoint.endpoint.name)`, `trusted-ca`: \(error.description)")
            }
        }
        return OutsideBuckets(held)
    }
}

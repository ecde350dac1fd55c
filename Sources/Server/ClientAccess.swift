// SPDX-License-Identifier: Apache-2.0

package import AWSWire
internal import Glibc
internal import Identity
internal import Objects
internal import Storage

/// What a client on the same machine needs to use the server of a data folder: address, root access key, region.
package struct ClientAccess: Sendable {
    package let endpoint: String
    package let region: String
    package let accountID: String
    private let account: FirstAccount

    /// Reads it from the data folder, whether or not the server runs.
    ///
    /// - Throws: a problem with a text for the user when no server ever ran there, or the folder is not ours.
    package static func read(_ configuration: ServerConfiguration) async throws -> ClientAccess {
        let folder = configuration.dataFolder
        guard let endpoint = DataFolder.note(.endpoint, in: folder), access(folder + "/catalog.sqlite", R_OK) == 0
        else {
            throw ConfigurationProblem(
                "no server has run in the data folder `\(folder)`; start one with `cairn serve --data \(folder)`")
        }
        let catalog = try Catalog(
            path: folder + "/catalog.sqlite", isShared: true, checkedOnUse: ObjectService.contentKeys)
        defer { try? catalog.close() }
        guard try await FirstAccount.exists(in: catalog) else {
            throw ConfigurationProblem("the data folder `\(folder)` has no account yet; start its server once")
        }
        let secret = try RootSecret.open(
            directory: folder + "/keys", mayCreate: false, randomBytes: SystemRandom.bytes)
        let account = try await FirstAccount.open(
            catalog, secret, randomBytes: SystemRandom.bytes, now: SystemTime.now())
        return ClientAccess(
            endpoint: endpoint, region: DataFolder.note(.region, in: folder) ?? configuration.region,
            accountID: account.accountID, account: account)
    }

    /// The root's access key.
    ///
    /// - Throws: a problem with a text for the user where root has switched off or deleted all of its keys.
    package func key() throws -> (id: String, secret: SecretKey) {
        guard let id = account.accessKeyID, let secret = account.secret else {
            throw ConfigurationProblem(
                "the root of account \(accountID) has no active access key; use an administrator's own key, or stop the "
                    + "server and give root a new key with `cairn root-key renew`")
        }
        return (id, secret)
    }

    /// Environment variables, in the order in which they are printed. The second value is the secret.
    package func exports() throws -> [(String, String)] {
        let (id, secret) = try key()
        return [
            ("AWS_ENDPOINT_URL", endpoint), ("AWS_ACCESS_KEY_ID", id), ("AWS_SECRET_ACCESS_KEY", secret.revealed),
            ("AWS_DEFAULT_REGION", region), ("AWS_REGION", region),
        ]
    }
}

/// The machine's clock and random generator, given to the house at its door.
package enum SystemTime {
    /// A clock that differs from the system's.
    static func shifted(by milliseconds: Int64) -> Clock {
        if milliseconds == 0 { return now }
        return { Timestamp(milliseconds: now().milliseconds + milliseconds) }
    }

    package static let now: Clock = {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(milliseconds: Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000)
    }
}

package enum SystemRandom {
    /// Bytes from the system's generator, fit for keys.
    package static let bytes: @Sendable (Int) -> [UInt8] = { count in
        var generator = SystemRandomNumberGenerator()
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count + 8)
        while bytes.count < count {
            withUnsafeBytes(of: generator.next() as UInt64) { bytes.append(contentsOf: $0) }
        }
        bytes.removeLast(bytes.count - count)
        return bytes
    }
}

// SPDX-License-Identifier: Apache-2.0

internal import AWSWire
internal import Capture
internal import EventJournal
internal import Identity
internal import Logging
internal import Storage

/// The last way in: what the owner of a data folder can do about the root of its first account.
package enum RootAccess {
    /// Gives root a new active access key and deletes all others it had, while no server runs. It is an event like any call:
    /// the intent before, the result after.
    ///
    /// - Returns: the account and the new key's id; `cairn env` shows the secret.
    /// - Throws: what would keep a server from starting on the folder, another server that uses it among them.
    package static func renewKey(_ configuration: ServerConfiguration) async throws -> (account: String, keyID: String)
    {
        let folder = try DataFolder.open(configuration.dataFolder)
        defer { folder.close() }
        guard folder.hasCatalog, folder.hasJournal else {
            throw ConfigurationProblem("no server has run in the data folder `\(folder.path)`; name it with --data")
        }
        let clock = SystemTime.now
        let catalog = try Catalog(path: folder.catalog)
        defer { try? catalog.close() }
        let secret = try RootSecret.open(directory: folder.keys, mayCreate: false, randomBytes: SystemRandom.bytes)
        let journal = try Journal.open(
            directory: folder.journal, device: POSIXJournalDevice(), limits: JournalLimits(),
            clock: { clock().milliseconds })
        do {
            let new = try await renew(catalog, secret, journal, clock)
            await journal.close()
            return new
        } catch {
            await journal.close()
            throw error
        }
    }

    private static func renew(
        _ catalog: Catalog, _ secret: RootSecret, _ journal: Journal, _ clock: @escaping Clock
    ) async throws -> (account: String, keyID: String) {
        let identifiers = Identifiers(randomBytes: SystemRandom.bytes)
        let logger = Logger(label: "cairn") { StreamLogHandler.standardError(label: $0) }
        let recorder = Recorder(
            journal: journal, identifier: { identifiers.uuid() }, clock: clock, logger: logger)
        let now = clock()
        let first = try await FirstAccount.open(catalog, secret, randomBytes: SystemRandom.bytes, now: now)
        let call = Call(
            caller: .root(of: first.accountID, accessKeyID: nil), accountID: first.accountID, region: "us-east-1",
            time: now, requestID: identifiers.uuid(), eventID: identifiers.uuid(), sourceAddress: "127.0.0.1",
            userAgent: "cairn root-key", isSecureTransport: false)
        let record = CallRecord(
            call: call, eventSource: "iam.amazonaws.com", eventName: "CreateAccessKey", isReadOnly: false,
            category: .management, apiVersion: nil, requestParameters: .null, resources: [], host: nil,
            presentedAccessKeyID: nil)
        let intent = try await recorder.open(record)
        let credentials = Credentials(
            catalog: catalog, rootSecret: secret, store: try await IdentityStore.open(catalog))
        let keys = RootKeys(catalog: catalog, rootSecret: secret, credentials: credentials)
        let new = try await keys.renew(randomBytes: SystemRandom.bytes, now: now)
        let shown: WireValue = .structure([
            "accessKey": .structure(["accessKeyId": .string(new.accessKeyID), "status": "Active"])
        ])
        try await recorder.close(record, CallOutcome(responseElements: shown), intent)
        return (new.account, new.accessKeyID)
    }
}

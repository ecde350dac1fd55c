// SPDX-License-Identifier: Apache-2.0
//
// The keys that sign digests. A key is valid for thirty days; its successor is made and listed a day before it ends, and
// takes over two hours before the end. So at every moment two hours around the change both are listed, which is what the
// AWS CLI needs: it asks for the range's end plus two hours and takes an empty list as an error.
//
// Document `signing-key` FINGERPRINT: JSON with the public key (PKCS#1 DER) and its validity in the open, and the
// private key (DER) sealed under the root secret. Keys stay listed for ever, since old digests must stay verifiable;
// the private half is taken out once it can sign no more.

package import AWSWire
internal import Dispatch
internal import LogFiles
package import Logging
package import Storage
internal import Synchronization

/// The signing keys of this server: the one in force, its successor, and the public halves of those before.
package final class SigningKeys: Sendable {
    /// Times in seconds.
    package enum Limits {
        /// How long a key may verify what it signed, and is listed.
        static let validity: Int64 = 30 * 24 * 3600
        /// How long before the end the successor is made and listed.
        static let successorLead: Int64 = 24 * 3600
        /// How long before the end the successor takes over.
        static let overlap: Int64 = 2 * 3600
        /// How long before it is made a key is valid already, for ranges that end before the first digest.
        static let backdating: Int64 = 2 * 3600
    }

    /// A public key as it is listed.
    struct PublicKey: Sendable, Equatable {
        let fingerprint: String
        /// PKCS#1.
        let der: [UInt8]
        let validFrom: Timestamp
        let validUntil: Timestamp
    }

    private struct Record: Codable, Sendable {
        var fingerprint: String
        var publicKey: [UInt8]
        /// Nil once the key signs no more.
        var sealedPrivateKey: [UInt8]?
        /// Seconds since 1970; the end is not included.
        var validFrom: Int64
        var validUntil: Int64

        var listed: PublicKey {
            PublicKey(
                fingerprint: fingerprint, der: publicKey, validFrom: Timestamp(seconds: validFrom),
                validUntil: Timestamp(seconds: validUntil))
        }
    }

    private struct State {
        /// The turn under way, so that two callers do not make two keys.
        var turn: Task<[Record], any Error>?
        /// Opened private keys by fingerprint.
        var opened: [String: DigestSigningKey] = [:]
    }

    private let catalog: Catalog
    private let secret: RootSecret
    private let clock: Clock
    private let logger: Logger
    private let queue = DispatchQueue(label: "cairn.signing-keys", qos: .utility)
    private let state = Mutex(State())

    /// - Parameter secret: seals the private keys that lie in the catalog.
    package init(catalog: Catalog, secret: RootSecret, clock: @escaping Clock, logger: Logger) {
        self.catalog = catalog
        self.secret = secret
        self.clock = clock
        self.logger = logger
    }

    /// Makes the first key, or a successor when it is time; the server calls it at its start and every hour.
    ///
    /// - Throws: `AWSError` when the catalog fails or no key could be made.
    package func turn() async throws(AWSError) { _ = try await current() }

    /// Calls `turn` at the start and then every hour, until cancelled.
    ///
    /// - Parameter sleep: sleeps so many milliseconds, throws when cancelled.
    package func run(sleep: @Sendable (Int64) async throws -> Void) async {
        while !Task.isCancelled {
            do throws(AWSError) {
                try await turn()
            } catch {
                logger.error(
                    "signing keys could not be looked after", metadata: ["cause": "\(error.cause ?? error.message)"])
            }
            do { try await sleep(3_600_000) } catch { return }
        }
    }

    /// The key that signs at this time.
    func signingKey() async throws(AWSError) -> DigestSigningKey {
        let records = try await current()
        let now = clock().seconds
        guard
            let record = records.last(where: {
                $0.validFrom <= now && $0.sealedPrivateKey != nil && signs($0, in: records, at: now)
            })
        else { throw .internalFailure(cause: "no signing key is in force") }
        return try await open(record)
    }

    /// The key with that fingerprint, for a digest that is written again after a crash.
    func signingKey(fingerprint: String) async throws(AWSError) -> DigestSigningKey? {
        let key = TrailKeys.signingKey(fingerprint)
        let found: Record? = try await catalog.read { snapshot throws(AWSError) in try snapshot.document(key) }
        guard let found, found.sealedPrivateKey != nil else { return nil }
        return try await open(found)
    }

    /// Every key that is valid in any part of the range (both ends inclusive), oldest first; the one in force when no
    /// other is: the list is never empty.
    func publicKeys(from start: Timestamp?, to end: Timestamp?) async throws(AWSError) -> [PublicKey] {
        let records = try await current()
        let inRange = records.filter { record in
            (end.map { record.validFrom <= $0.seconds } ?? true)
                && (start.map { record.validUntil >= $0.seconds } ?? true)
        }
        if !inRange.isEmpty { return inRange.map(\.listed) }
        return records.suffix(1).map(\.listed)
    }

    // MARK: Keeping the set

    /// All keys, oldest first, after making the one that is due.
    private func current() async throws(AWSError) -> [Record] {
        let task = state.withLock { state in
            if let turn = state.turn { return turn }
            let turn = Task { [self] in
                defer { self.state.withLock { $0.turn = nil } }
                return try await self.reviewed()
            }
            state.turn = turn
            return turn
        }
        do {
            return try await task.value
        } catch let error as AWSError {
            throw error
        } catch {
            throw .internalFailure(cause: "signing keys: \(error)")
        }
    }

    private func reviewed() async throws(AWSError) -> [Record] {
        let now = clock().seconds
        var records = try await catalog.read { snapshot throws(AWSError) -> [Record] in
            try snapshot.documents(TrailKeys.signingKeys)
        }
        records.sort { ($0.validFrom, $0.fingerprint) < ($1.validFrom, $1.fingerprint) }
        let newest = records.last
        if let newest, newest.validUntil - Limits.successorLead > now {
            try await retire(&records, now: now)
            return records
        }
        // A successor begins where it takes over, or now when nobody is left to take over from.
        let begin: Int64 =
            if let newest, newest.validUntil - Limits.overlap > now {
                newest.validUntil - Limits.overlap
            } else {
                now
            }
        let made = try await make(
            validFrom: newest == nil ? begin - Limits.backdating : begin, validUntil: begin + Limits.validity)
        records.append(made)
        logger.info("made a signing key", metadata: ["fingerprint": "\(made.fingerprint)"])
        try await retire(&records, now: now)
        return records
    }

    private func make(validFrom: Int64, validUntil: Int64) async throws(AWSError) -> Record {
        let key = try await away(on: queue) { () throws(AWSError) -> DigestSigningKey in
            do {
                return try DigestSigningKey.generate()
            } catch {
                throw .internalFailure(cause: "signing key: \(error)")
            }
        }
        let publicKey = key.publicKey
        let fingerprint = publicKey.fingerprint
        let record = Record(
            fingerprint: fingerprint, publicKey: publicKey.der,
            sealedPrivateKey: try seal(key.der, fingerprint: fingerprint), validFrom: validFrom, validUntil: validUntil)
        try await catalog.write { transaction throws(AWSError) in
            try transaction.store(TrailKeys.signingKey(fingerprint), record)
        }
        state.withLock { $0.opened[fingerprint] = key }
        return record
    }

    /// A key signs until its successor's turn; a key without a successor goes on.
    private func signs(_ record: Record, in records: [Record], at now: Int64) -> Bool {
        guard let index = records.firstIndex(where: { $0.fingerprint == record.fingerprint }) else { return false }
        guard index + 1 < records.count else { return true }
        return records[index + 1].validFrom > now
    }

    /// Takes out the private halves of keys that ended a day ago: a stolen folder then signs nothing old.
    private func retire(_ records: inout [Record], now: Int64) async throws(AWSError) {
        for index in records.indices.dropLast()
        where records[index].sealedPrivateKey != nil && records[index].validUntil + 86400 < now {
            records[index].sealedPrivateKey = nil
            let record = records[index]
            try await catalog.write { transaction throws(AWSError) in
                try transaction.store(TrailKeys.signingKey(record.fingerprint), record)
            }
            state.withLock { _ = $0.opened.removeValue(forKey: record.fingerprint) }
        }
    }

    private func open(_ record: Record) async throws(AWSError) -> DigestSigningKey {
        if let key = state.withLock({ $0.opened[record.fingerprint] }) { return key }
        guard let sealed = record.sealedPrivateKey else { throw .internalFailure(cause: "the signing key has ended") }
        do {
            let der = try secret.open(sealed, context: Self.context(record.fingerprint))
            let key = try DigestSigningKey(der: der)
            state.withLock { $0.opened[record.fingerprint] = key }
            return key
        } catch {
            throw .internalFailure(
                cause:
                    "the signing key `\(record.fingerprint)` cannot be opened (\(error)); was the root secret replaced?"
            )
        }
    }

    private func seal(_ der: [UInt8], fingerprint: String) throws(AWSError) -> [UInt8] {
        do {
            return try secret.seal(der, context: Self.context(fingerprint))
        } catch {
            throw .internalFailure(cause: "the signing key could not be sealed: \(error)")
        }
    }

    private static func context(_ fingerprint: String) -> String { "signing-key/\(fingerprint)" }
}

// SPDX-License-Identifier: Apache-2.0

package import AWSWire
package import Storage
internal import Synchronization

/// The organization, in the catalog and in memory: reads never wait and see one value.
package final class OrganizationStore: Sendable {
    static let key = CatalogKey("organization")

    private let catalog: Catalog
    private let state: Mutex<Organization?>

    /// - Throws: `InternalFailure` whose cause names the document when it is damaged.
    package static func open(_ catalog: Catalog) async throws(AWSError) -> OrganizationStore {
        OrganizationStore(catalog, try await load(catalog))
    }

    private init(_ catalog: Catalog, _ organization: Organization?) {
        self.catalog = catalog
        state = Mutex(organization)
    }

    private static func load(_ catalog: Catalog) async throws(AWSError) -> Organization? {
        let document = try await catalog.read { snapshot throws(AWSError) in try snapshot.get(key) }
        guard let document else { return nil }
        guard let organization = Organization(json: document.value) else { throw .damagedDocument(document.key) }
        return organization
    }

    var organization: Organization? { state.withLock { $0 } }

    /// Whether an account was made by the organization.
    package func has(account: String) -> Bool { state.withLock { $0?.accounts[account] != nil } }

    /// Whether an account was closed: nothing of it can be used.
    package func isClosed(account: String) -> Bool { state.withLock { $0?.accounts[account]?.isClosed ?? false } }

    /// What the organization says of an account; of a stranger nothing.
    package func controls(over account: String) -> AccountControls {
        guard let organization, organization.accounts[account] != nil else { return AccountControls() }
        let isManagement = account == organization.management
        var damaged: [String] = []
        if !isManagement {
            for type in organization.types {
                for target in organization.path(to: account) {
                    damaged += organization.policies(type, on: target).filter { $0.compiled == nil }.map(\.id)
                }
            }
        }
        return AccountControls(
            service: organization.controls(.serviceControl, of: account),
            resource: organization.controls(.resourceControl, of: account), organizationID: organization.id,
            organizationPath: organization.condition(path: account), damaged: damaged)
    }

    /// Changes the organization: durable and seen by all when this returns.
    ///
    /// - Parameter body: works on a copy; nil is no organization.
    /// - Throws: what `body` throws, or `ServiceUnavailable`; nothing was changed then.
    func change<Result: Sendable>(
        _ body: @escaping @Sendable (inout Organization?) throws(AWSError) -> Result
    ) async throws(AWSError) -> Result {
        do throws(AWSError) {
            return try await catalog.write { transaction throws(AWSError) in
                // The catalog runs writes one after the other, so nobody changes it meanwhile.
                var copy = self.organization
                let result = try body(&copy)
                if let copy { try transaction.put(Self.key, copy.json) } else { try transaction.delete(Self.key) }
                let changed = copy
                self.state.withLock { $0 = changed }
                return result
            }
        } catch {
            // A commit that failed after the body ran has left memory ahead of the disk.
            if error.isServerFault {
                let loaded = try await Self.load(catalog)
                state.withLock { $0 = loaded }
            }
            throw error
        }
    }
}

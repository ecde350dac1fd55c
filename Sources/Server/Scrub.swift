// SPDX-License-Identifier: Apache-2.0

internal import AWSWire
internal import Glibc
internal import Keys
internal import Objects
internal import Storage

/// The check of everything that is stored, for the command line.
package enum StoredObjects {
    /// Verifies all objects of a data folder, whether or not its server runs.
    ///
    /// - Parameter report: prints a line: each finding as it is made, and last what was seen.
    /// - Returns: how many findings there were.
    /// - Throws: a problem with a text for the user when no server ever ran there, or the catalog cannot be read.
    package static func scrub(
        _ configuration: ServerConfiguration, report: @Sendable (String) -> Void
    ) async throws -> Int {
        let folder = configuration.dataFolder
        guard access(folder + "/catalog.sqlite", R_OK) == 0 else {
            throw ConfigurationProblem("there is no catalog in the data folder `\(folder)`; name it with --data")
        }
        let catalog = try Catalog(
            path: folder + "/catalog.sqlite", isShared: true, checkedOnUse: ObjectService.contentKeys)
        defer { try? catalog.close() }
        let secret = try RootSecret.open(
            directory: folder + "/keys", mayCreate: false, randomBytes: SystemRandom.bytes)
        let keys = try await KeyService.open(
            catalog: catalog, vault: RootSecretVault(secret), clock: SystemTime.now, randomBytes: SystemRandom.bytes,
            decide: KeyService.decideByKeyAlone, record: { _ throws(AWSError) in })
        let scrub = ObjectScrub(catalog: catalog, directory: folder + "/objects", keys: keys)
        let summary = try await scrub.run { report("damaged: \($0.subject): \($0.reason)") }
        report(
            "\(summary.objects) objects in \(summary.files) files, \(summary.bytes) bytes read, "
                + "\(summary.damaged) damaged")
        return summary.damaged
    }
}

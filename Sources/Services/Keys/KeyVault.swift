// SPDX-License-Identifier: Apache-2.0

package import AWSWire
package import Storage

/// Where the material of keys is sealed: the only place that knows the secret above all keys.
///
/// Everything else in this room sees sealed bytes, and opened material for the length of one use. A hardware module takes
/// the place of the root secret by answering these two questions.
package protocol KeyVault: Sendable {
    /// Encrypts and authenticates material.
    ///
    /// - Parameter context: names the key and the number of the material; must be given again to open it.
    /// - Throws: `KMSInternalException`, whose cause is for the operator.
    func seal(_ material: [UInt8], context: String) async throws(AWSError) -> [UInt8]

    /// Opens what `seal` made.
    ///
    /// - Throws: `KMSInternalException`, when the bytes are damaged or were sealed elsewhere.
    func open(_ sealed: [UInt8], context: String) async throws(AWSError) -> [UInt8]
}

/// Seals under the root secret of the data folder.
package struct RootSecretVault: KeyVault {
    private let secret: RootSecret

    package init(_ secret: RootSecret) { self.secret = secret }

    package func seal(_ material: [UInt8], context: String) throws(AWSError) -> [UInt8] {
        do {
            return try secret.seal(material, context: context)
        } catch {
            throw .keyServiceFailure(cause: error.description)
        }
    }

    package func open(_ sealed: [UInt8], context: String) throws(AWSError) -> [UInt8] {
        do {
            return try secret.open(sealed, context: context)
        } catch {
            throw .keyServiceFailure(cause: error.description)
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
//
// The root secret: 32 random bytes in `keys/root.secret`, nothing else in the file, mode 0600, owned by the user who runs
// the server. What is stored encrypted (access key secrets, private signing keys) is encrypted under it:
//
//   key    = HKDF-SHA256(root secret, info "cairn sealed 1", 32 bytes)
//   sealed = version u8 (1) | nonce 12 bytes | AES-256-GCM ciphertext | tag 16 bytes
//   additional data = version u8 | context as UTF-8
//
// The context names the place (`credential/AKIA...`), so that a sealed value moved to another place does not open.

internal import Crypto
internal import Foundation
internal import Glibc

/// The secret under which the house keeps its other secrets.
package struct RootSecret: Sendable {
    package static let fileName = "root.secret"
    package static let bytesCount = 32
    private static let version: UInt8 = 1
    private static let nonceBytes = 12
    private static let tagBytes = 16

    private let key: SymmetricKey
    private let randomBytes: @Sendable (Int) -> [UInt8]

    /// Opens the secret of a data folder, or creates it where that is allowed.
    ///
    /// - Parameters:
    ///   - directory: the data folder's `keys`; created with mode 0700 when absent.
    ///   - mayCreate: false once anything is sealed: a new secret would make all of it unreadable for ever.
    ///   - randomBytes: a source fit for keys.
    /// - Throws: `RootSecretError`: the file is missing, others may read it, or it is not 32 bytes. Nothing was changed
    ///   then.
    package static func open(
        directory: String, mayCreate: Bool, randomBytes: @escaping @Sendable (Int) -> [UInt8]
    ) throws(RootSecretError) -> RootSecret {
        let path = "\(directory)/\(fileName)"
        if let bytes = try read(path) { return RootSecret(bytes, randomBytes) }
        guard mayCreate else {
            throw RootSecretError(
                .missing, path: path,
                "the root secret is missing, and this data folder has secrets that only it can open; restore the file "
                    + "from a backup, or move the data folder away to start empty")
        }
        try create(path, in: directory, randomBytes(bytesCount), suffix: randomBytes(8))
        guard let bytes = try read(path) else {
            throw RootSecretError(.unwritable, path: path, "the root secret vanished while it was created")
        }
        return RootSecret(bytes, randomBytes)
    }

    private init(_ bytes: [UInt8], _ randomBytes: @escaping @Sendable (Int) -> [UInt8]) {
        key = HKDF<SHA256>.deriveKey(
            inputKeyMaterial: SymmetricKey(data: bytes), info: Array("cairn sealed 1".utf8), outputByteCount: 32)
        self.randomBytes = randomBytes
    }

    /// Encrypts and authenticates.
    ///
    /// - Parameter context: where the value will lie; must be given again to open it.
    /// - Throws: `RootSecretError.Code.sealing` if the cipher refuses, which valid keys and nonces do not bring about.
    package func seal(_ plain: [UInt8], context: String) throws(RootSecretError) -> [UInt8] {
        do {
            let nonce = try AES.GCM.Nonce(data: randomBytes(Self.nonceBytes))
            let box = try AES.GCM.seal(plain, using: key, nonce: nonce, authenticating: Self.additional(context))
            return [Self.version] + Array(nonce) + Array(box.ciphertext) + Array(box.tag)
        } catch {
            throw RootSecretError(.sealing, path: nil, "the cipher refused to seal `\(context)`")
        }
    }

    /// Decrypts what `seal` made, under the same root secret and context.
    ///
    /// - Throws: `RootSecretError.Code.unreadable` for anything else; nothing of the content is told.
    package func open(_ sealed: [UInt8], context: String) throws(RootSecretError) -> [UInt8] {
        let refusal = RootSecretError(
            .unreadable, path: nil,
            "the sealed value `\(context)` does not open: it is damaged, or was sealed under another root secret; restore "
                + "the data folder as a whole from one backup")
        guard sealed.count >= 1 + Self.nonceBytes + Self.tagBytes, sealed[0] == Self.version else { throw refusal }
        let body = sealed.dropFirst()
        do {
            let box = try AES.GCM.SealedBox(
                nonce: AES.GCM.Nonce(data: body.prefix(Self.nonceBytes)),
                ciphertext: body.dropFirst(Self.nonceBytes).dropLast(Self.tagBytes), tag: body.suffix(Self.tagBytes))
            return Array(try AES.GCM.open(box, using: key, authenticating: Self.additional(context)))
        } catch {
            throw refusal
        }
    }

    private static func additional(_ context: String) -> [UInt8] { [version] + Array(context.utf8) }
}

extension RootSecret: CustomStringConvertible, CustomReflectable {
    package var description: String { "(secret)" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}

/// Why the root secret cannot be used.
package struct RootSecretError: Error, CustomStringConvertible {
    package struct Code: Sendable, Equatable {
        let name: String

        package static let missing = Code(name: "missing")
        package static let exposed = Code(name: "exposed")
        package static let damaged = Code(name: "damaged")
        package static let unwritable = Code(name: "unwritable")
        package static let sealing = Code(name: "sealing")
        package static let unreadable = Code(name: "unreadable")
    }

    package let code: Code
    package let path: String?
    /// Says what can be done.
    package let message: String

    init(_ code: Code, path: String?, _ message: String) {
        self.code = code
        self.path = path
        self.message = message
    }

    package var description: String { path.map { "`\($0)`: \(message)" } ?? message }
}

// MARK: - The file

extension RootSecret {
    /// - Returns: nil when there is no file.
    private static func read(_ path: String) throws(RootSecretError) -> [UInt8]? {
        let descriptor = Glibc.open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)
        if descriptor < 0 {
            if errno == ENOENT { return nil }
            throw RootSecretError(
                .unreadable, path: path,
                "the root secret cannot be opened (\(systemMessage())); it must be a plain file "
                    + "that the server's user may read")
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            throw RootSecretError(.unreadable, path: path, "the root secret cannot be examined (\(systemMessage()))")
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw RootSecretError(.damaged, path: path, "the root secret must be a plain file")
        }
        guard status.st_uid == geteuid() else {
            throw RootSecretError(
                .exposed, path: path,
                "the root secret belongs to user \(status.st_uid), but the server runs as user "
                    + "\(geteuid()); run it as the owner, or change the owner")
        }
        guard status.st_mode & 0o077 == 0 else {
            let mode = String(status.st_mode & 0o777, radix: 8)
            throw RootSecretError(
                .exposed, path: path,
                "other users may read the root secret (mode \(mode)); run `chmod 600` on it, and "
                    + "consider the secrets of this data folder as known to them")
        }
        var bytes = [UInt8](repeating: 0, count: bytesCount + 1)
        var filled = 0
        while filled < bytes.count {
            let count = bytes.withUnsafeMutableBytes { buffer in
                Glibc.read(descriptor, buffer.baseAddress?.advanced(by: filled), buffer.count - filled)
            }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else {
                throw RootSecretError(.unreadable, path: path, "the root secret cannot be read (\(systemMessage()))")
            }
            if count == 0 { break }
            filled += count
        }
        guard filled == bytesCount else {
            throw RootSecretError(
                .damaged, path: path,
                "the root secret must have \(bytesCount) bytes, but has "
                    + "\(filled > bytesCount ? "more" : "\(filled)"); restore it from a backup")
        }
        return Array(bytes.prefix(bytesCount))
    }

    /// Writes a file beside, flushes it and gives it its name in one step; an existing secret is never replaced.
    private static func create(
        _ path: String, in directory: String, _ bytes: [UInt8], suffix: [UInt8]
    ) throws(RootSecretError) {
        if mkdir(directory, 0o700) != 0, errno != EEXIST { throw unwritable(path) }
        let draft = "\(path).\(suffix.map { String($0, radix: 16) }.joined())"
        let descriptor = Glibc.open(draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw unwritable(path) }
        defer {
            close(descriptor)
            unlink(draft)
        }
        // The process's mask may have taken bits away, never added any.
        guard fchmod(descriptor, 0o600) == 0 else { throw unwritable(path) }
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes { buffer in
                write(descriptor, buffer.baseAddress?.advanced(by: written), buffer.count - written)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw unwritable(path) }
            written += count
        }
        guard fsync(descriptor) == 0 else { throw unwritable(path) }
        // Of two servers that start at once, the first one's secret stands; the other reads it.
        guard link(draft, path) == 0 || errno == EEXIST else { throw unwritable(path) }
        let folder = Glibc.open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard folder >= 0 else { throw unwritable(path) }
        defer { close(folder) }
        guard fsync(folder) == 0 else { throw unwritable(path) }
    }

    private static func unwritable(_ path: String) -> RootSecretError {
        RootSecretError(
            .unwritable, path: path,
            "the root secret cannot be created (\(systemMessage())); the server's user must be "
                + "able to write in this folder")
    }

    private static func systemMessage() -> String { String(cString: strerror(errno)) }
}

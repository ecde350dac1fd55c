// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// The folder in which everything lies, locked against a second server.
///
/// ```
/// DIR/lock            held (flock) by the server that runs, with its process id
/// DIR/endpoint        the address of the server that runs, or ran last
/// DIR/region          its region
/// DIR/journal/        what happened, in order
/// DIR/history/        sealed segments of event history
/// DIR/objects/        bytes of S3 objects
/// DIR/decisions/      why calls were allowed or refused, for `cairn explain`
/// DIR/intake/         bodies of POST /events while they come in, without names
/// DIR/catalog.sqlite  shared state
/// DIR/keys/           the root secret
/// ```
///
/// All of it is private to the owner of the process (0700, 0600).
package struct DataFolder: Sendable {
    package let path: String
    private let lockDescriptor: Int32

    package var journal: String { path + "/journal" }
    package var history: String { path + "/history" }
    package var objects: String { path + "/objects" }
    package var catalog: String { path + "/catalog.sqlite" }
    package var intake: String { path + "/intake" }
    package var keys: String { path + "/keys" }

    /// Creates the folder where it is missing, and takes its lock.
    ///
    /// - Throws: `DataFolderProblem` when it cannot be made, is open to others, or another server uses it.
    package static func open(_ path: String) throws(DataFolderProblem) -> DataFolder {
        umask(0o077)
        let path = path.hasPrefix("/") ? path : currentDirectory() + "/" + path
        try makeFolders(path)
        for room in ["journal", "history", "objects", "keys", "intake"] { try makeFolder(path + "/" + room) }
        let lock = path + "/lock"
        let descriptor = Glibc.open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw DataFolderProblem("cannot open `\(lock)`: \(Self.reason())") }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let isTaken = errno == EWOULDBLOCK
            let text =
                isTaken
                ? "another cairn server (process \(readAll(lock) ?? "unknown")) uses the data folder `\(path)`; stop it, or "
                    + "choose another folder with --data" : "cannot lock `\(lock)`: \(Self.reason())"
            Glibc.close(descriptor)
            throw DataFolderProblem(text)
        }
        ftruncate(descriptor, 0)
        let pid = "\(getpid())"
        _ = pid.withCString { write(descriptor, $0, strlen($0)) }
        return DataFolder(path: path, lockDescriptor: descriptor)
    }

    /// Whether a server, or a command that reads the folder itself, holds the lock now.
    package static func isInUse(_ path: String) -> Bool {
        let descriptor = Glibc.open(path + "/lock", O_RDWR | O_CLOEXEC)
        guard descriptor >= 0 else { return false }
        defer { Glibc.close(descriptor) }
        return flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK
    }

    /// What was in the folder when it was opened, to tell a first start from a folder that has lost a part.
    package var hasCatalog: Bool { access(catalog, F_OK) == 0 }
    package var hasJournal: Bool { !isEmpty(journal) }
    package var hasHistory: Bool { !isEmpty(history) }

    /// The refusal to start on a folder that has lost a part, rather than to begin anew in silence.
    package static func lost(_ what: String, _ path: String) -> DataFolderProblem {
        DataFolderProblem(
            "\(what) `\(path)` is missing, although this data folder is in use; restore it from a backup, or move the "
                + "whole data folder away to start empty")
    }

    /// The journal ends before what other rooms have taken from it.
    package static func shortened(_ path: String, cause: String) -> DataFolderProblem {
        DataFolderProblem(
            "the journal `\(path)` has lost its end (\(cause)); restore the whole data folder from one backup, or move it "
                + "away to start empty")
    }

    /// The root secret does not fit what is sealed in the catalogue.
    package static func unopened(_ path: String, cause: String) -> DataFolderProblem {
        DataFolderProblem(
            "the root secret `\(path)` does not open the first account's key in the catalogue (\(cause)); restore both from "
                + "the same backup, or move the whole data folder away to start empty")
    }

    private func isEmpty(_ directory: String) -> Bool {
        guard let stream = opendir(directory) else { return true }
        defer { closedir(stream) }
        while let entry = readdir(stream) {
            if entry.pointee.d_name.0 != CChar(bitPattern: UInt8(ascii: ".")) { return false }
        }
        return true
    }

    /// Gives the lock back.
    package func close() { Glibc.close(lockDescriptor) }

    /// What a running server notes for the other commands, one line a file.
    package enum Note: String {
        case endpoint
        case region
    }

    /// Notes a line, atomically.
    package func note(_ note: Note, _ text: String) throws(DataFolderProblem) {
        let file = path + "/" + note.rawValue
        let temporary = file + ".new"
        let descriptor = Glibc.open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw DataFolderProblem("cannot write `\(temporary)`: \(Self.reason())") }
        defer { Glibc.close(descriptor) }
        let line = text + "\n"
        let written = line.withCString { write(descriptor, $0, strlen($0)) }
        guard written == line.utf8.count, rename(temporary, file) == 0 else {
            throw DataFolderProblem("cannot write `\(file)`: \(Self.reason())")
        }
    }

    /// What the server that runs, or ran last, noted in the folder; nil when none ever ran there.
    package static func note(_ note: Note, in path: String) -> String? { readAll(path + "/" + note.rawValue) }

    private static func makeFolders(_ path: String) throws(DataFolderProblem) {
        var built = ""
        for part in path.split(separator: "/") {
            built += "/" + part
            var status = stat()
            if stat(built, &status) == 0 { continue }
            try makeFolder(built)
        }
        var status = stat()
        guard stat(path, &status) == 0 else { throw DataFolderProblem("cannot read `\(path)`: \(Self.reason())") }
        guard status.st_uid == geteuid() else {
            throw DataFolderProblem("the data folder `\(path)` belongs to another user; choose another with --data")
        }
        guard status.st_mode & 0o077 == 0 || chmod(path, 0o700) == 0 else {
            throw DataFolderProblem("the data folder `\(path)` is open to other users; run chmod 700 on it")
        }
    }

    private static func makeFolder(_ path: String) throws(DataFolderProblem) {
        guard mkdir(path, 0o700) == 0 || errno == EEXIST else {
            throw DataFolderProblem("cannot create the folder `\(path)`: \(Self.reason())")
        }
    }

    private static func currentDirectory() -> String {
        guard let buffer = getcwd(nil, 0) else { return "." }
        defer { free(buffer) }
        return String(cString: buffer)
    }

    private static func reason() -> String { String(cString: strerror(errno)) }

    private static func readAll(_ path: String) -> String? {
        let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { Glibc.close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = read(descriptor, &bytes, bytes.count)
        guard count > 0 else { return nil }
        let text = String(decoding: bytes[..<count], as: UTF8.self)
        return String(text.prefix { !$0.isNewline })
    }
}

/// The data folder cannot be used; the text says why and what to do.
package struct DataFolderProblem: Error, CustomStringConvertible {
    package let description: String

    init(_ description: String) { self.description = description }
}

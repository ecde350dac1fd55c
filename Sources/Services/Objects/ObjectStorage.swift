// SPDX-License-Identifier: Apache-2.0

internal import AWSWire
internal import Glibc
internal import Keys

/// How the bytes of new objects are kept. Whatever was kept before is read as it lies.
package struct ObjectStorage: Sendable {
    /// Objects of at most so many bytes that are put in one piece lie in the catalog and cost no file; negative: none does.
    package var smallBytesMax: Int
    /// Whether bytes are encrypted; false only where the price of that is measured.
    package var isEncrypting: Bool

    package init(smallBytesMax: Int = ObjectStorage.smallBytes, isEncrypting: Bool = true) {
        self.smallBytesMax = smallBytesMax
        self.isEncrypting = isEncrypting
    }

    /// docs/decisions/0007-small-objects-in-the-catalog.md has the measurements.
    package static let smallBytes = 16 * 1024
}

extension ObjectFiles {
    /// Whole blocks as they will lie on the disk, from number `first`; only the last block may be short.
    ///
    /// - Returns: nil where the file has no key or the cipher refuses.
    func sealed(_ piece: [UInt8], first: Int64, _ file: ObjectFile) -> [UInt8]? {
        if file.layout == ObjectBlocks.checkedLayout { return ObjectBlocks.seal(piece, first: first, file: file.id) }
        guard let sealed = file.key?.cipher.seal(piece, first: first) else { return nil }
        if file.layout == ObjectBlocks.keyedLayout { file.addToChecksum(sealed) }
        return sealed
    }

    /// What follows the last block.
    func trailer(of file: ObjectFile) -> [UInt8] {
        switch file.layout {
        case ObjectBlocks.checkedLayout: []
        case ObjectBlocks.keyedLayout: file.checksum
        default: ObjectBlocks.trailer(file.key?.sealed ?? [])
        }
    }

    /// Keeps a whole small object in memory, for the transaction that makes it an object; the disk is not touched.
    ///
    /// - Returns: whether it was small enough.
    func keep(_ piece: [UInt8], in file: ObjectFile) throws(ObjectFileError) -> Bool {
        guard file.descriptor < 0, piece.count <= storage.smallBytesMax else { return false }
        guard let sealed = sealed(piece, first: 0, file) else {
            throw ObjectFileError(step: .writeFile, path: path(file.id), number: ObjectFileError.locked)
        }
        file.keep(sealed + trailer(of: file))
        return true
    }

    /// Bytes of what lies on the disk, or would.
    func length(of file: ObjectFile) throws(ObjectFileError) -> Int64 {
        if let content = file.content { return Int64(content.count) }
        var status = stat()
        guard fstat(file.descriptor, &status) == 0 else { throw failure(.readFile, path(file.id)) }
        return Int64(status.st_size)
    }
}

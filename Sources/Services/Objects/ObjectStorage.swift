// SPDX-License-Identifier: Apache-2.0

internal import AWSWire
internal import Glibc

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
    /// Bytes of what lies on the disk, or would.
    func length(of file: ObjectFile) throws(ObjectFileError) -> Int64 {
        if let content = file.content { return Int64(content.count) }
        var status = stat()
        guard fstat(file.descriptor, &status) == 0 else { throw failure(.readFile, path(file.id)) }
        return Int64(status.st_size)
    }
}

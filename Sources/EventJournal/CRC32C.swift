// SPDX-License-Identifier: Apache-2.0

import CCRC32C

/// Checksums of the journal's blocks: CRC-32C (RFC 3720, appendix B.4).
enum CRC32C {
    /// The checksum of bytes, or of more bytes behind those that gave `previous`.
    static func checksum(_ bytes: UnsafeRawBufferPointer, continuing previous: UInt32 = 0) -> UInt32 {
        ccrc32c(previous, bytes.baseAddress, bytes.count)
    }
}

// SPDX-License-Identifier: Apache-2.0

import Keys

/// A whole file's blocks at once.
extension ObjectCipher {
    /// The bytes on the disk of blocks that begin with number `first`.
    func seal(_ bytes: [UInt8], first: Int64) -> [UInt8]? {
        var sealed: [UInt8] = []
        for (index, start) in stride(from: 0, to: bytes.count, by: Self.blockBytes).enumerated() {
            var block = Array(bytes[start..<min(bytes.count, start + Self.blockBytes)])
            var tag = [UInt8](repeating: 0, count: Self.tagBytes)
            let isSealed = block.withUnsafeMutableBytes { block in
                tag.withUnsafeMutableBytes { seal(block, number: first + Int64(index), tag: $0) }
            }
            guard isSealed else { return nil }
            sealed += block + tag
        }
        return sealed
    }

    /// - Parameter handler: gets each block that is proven, in order.
    /// - Returns: the number of the first block that does not open, nil when all did.
    func open(_ sealed: [UInt8], first: Int64, _ handler: ([UInt8]) -> Void) -> Int64? {
        let step = Self.blockBytes + Self.tagBytes
        for (index, start) in stride(from: 0, to: sealed.count, by: step).enumerated() {
            let end = min(sealed.count, start + step)
            guard end - start > Self.tagBytes else { return first + Int64(index) }
            var block = Array(sealed[start..<end - Self.tagBytes])
            let tag = Array(sealed[end - Self.tagBytes..<end])
            let isOpened = block.withUnsafeMutableBytes { block in
                tag.withUnsafeBytes { open(block, number: first + Int64(index), tag: $0) }
            }
            guard isOpened else { return first + Int64(index) }
            handler(block)
        }
        return nil
    }
}

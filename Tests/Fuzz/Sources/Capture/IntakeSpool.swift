// SPDX-License-Identifier: Apache-2.0

import AWSWire

/// Stands in for the file of that name: a body in memory.
final class IntakeSpool {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: [UInt8]) { rest = bytes[...] }

    /// The next bytes; 0 at the end.
    func read(into room: UnsafeMutableRawBufferPointer) throws(AWSError) -> Int {
        let piece = rest.prefix(room.count)
        room.copyBytes(from: piece)
        rest = rest.dropFirst(piece.count)
        return piece.count
    }
}

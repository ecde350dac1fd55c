// SPDX-License-Identifier: Apache-2.0

/// Stands in for SwiftNIO's, so that the fuzzers need no other package: what the rooms ask of it, over an array.
public struct ByteBuffer: Sendable {
    private var bytes: ArraySlice<UInt8>

    public init(bytes: some Sequence<UInt8>) { self.bytes = ArraySlice(bytes) }

    public var readableBytes: Int { bytes.count }
    public var readableBytesView: ArraySlice<UInt8> { bytes }

    public mutating func moveReaderIndex(forwardBy count: Int) { bytes = bytes.dropFirst(count) }

    public mutating func readSlice(length: Int) -> ByteBuffer? {
        guard (0...bytes.count).contains(length) else { return nil }
        defer { bytes = bytes.dropFirst(length) }
        return ByteBuffer(bytes: bytes.prefix(length))
    }

    public func withUnsafeReadableBytes<Result>(
        _ body: (UnsafeRawBufferPointer) throws -> Result
    ) rethrows -> Result {
        try bytes.withUnsafeBytes(body)
    }
}

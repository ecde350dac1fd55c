// SPDX-License-Identifier: Apache-2.0
//
// Stands in for swift-crypto, so that the fuzzers need no other package: what is fuzzed reads around hashes, not in them. Hashes
// are of no worth, and every authentication code is 32 zero bytes: so inputs can carry signatures that hold.

public protocol HashFunction {
    static var byteCount: Int { get }
    init()
    mutating func update(bufferPointer: UnsafeRawBufferPointer)
    func finalize() -> Digest
}

extension HashFunction {
    public mutating func update(data: some Sequence<UInt8>) {
        Array(data).withUnsafeBytes { update(bufferPointer: $0) }
    }

    public static func hash(data: some Sequence<UInt8>) -> Digest {
        var hash = Self()
        hash.update(data: data)
        return hash.finalize()
    }
}

public struct Digest: Sendable, Sequence, Equatable {
    let bytes: [UInt8]

    public func makeIterator() -> IndexingIterator<[UInt8]> { bytes.makeIterator() }
    public func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        try bytes.withUnsafeBytes(body)
    }
}

/// FNV-1a, drawn out.
struct ShortHash: Sendable {
    private var value: UInt64 = 0xcbf2_9ce4_8422_2325

    mutating func update(_ bytes: UnsafeRawBufferPointer) {
        for byte in bytes { value = (value ^ UInt64(byte)) &* 0x100_0000_01b3 }
    }

    func digest(_ count: Int) -> Digest {
        Digest(bytes: (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64($0 % 8 * 8)) &+ UInt8($0 / 8) })
    }
}

public struct SHA256: HashFunction, Sendable {
    public static let byteCount = 32
    private var hash = ShortHash()

    public init() {}
    public mutating func update(bufferPointer: UnsafeRawBufferPointer) { hash.update(bufferPointer) }
    public func finalize() -> Digest { hash.digest(Self.byteCount) }
}

public enum Insecure {
    public struct SHA1: HashFunction, Sendable {
        public static let byteCount = 20
        private var hash = ShortHash()

        public init() {}
        public mutating func update(bufferPointer: UnsafeRawBufferPointer) { hash.update(bufferPointer) }
        public func finalize() -> Digest { hash.digest(Self.byteCount) }
    }
}

public struct SymmetricKey: Sendable {
    public init(data: some Sequence<UInt8>) {}
}

public enum HMAC<Hash: HashFunction> {
    public static func authenticationCode(for data: some Sequence<UInt8>, using key: SymmetricKey) -> Digest {
        Digest(bytes: [UInt8](repeating: 0, count: Hash.byteCount))
    }
}

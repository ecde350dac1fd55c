// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// Objects and lists that were read lately, so that the same bytes need not be read again: where a value is followed by just the
/// bytes of one that was well-formed, it ends where that ended, since a bracket closes only once. For one thread at a time.
///
/// A struct around memory that `EventShapes` owns, so that a look costs no counting of references.
package struct KnownContainers {
    private struct Value {
        var bytes: UnsafeMutableRawPointer?
        var capacity = 0
        var length = 0
        var tag: UInt32 = 0
    }

    private static let places = 2048
    /// What decides on a value's place: its first bytes.
    private static let keyBytes = 96
    private static let valueBytesMax = 2048

    private let values: UnsafeMutablePointer<Value>

    init() {
        values = .allocate(capacity: Self.places)
        values.initialize(repeating: Value(bytes: nil), count: Self.places)
    }

    func deallocate() {
        for place in 0..<Self.places { values[place].bytes?.deallocate() }
        values.deallocate()
    }

    /// What the user of a value noted about it; 0 for nothing. It is gone once another value takes the place.
    package func tag(_ place: Int16) -> UInt32 { place < 0 ? 0 : values[Int(place)].tag }

    /// Notes something about a value, if it still has the place: two values of one record may want the same.
    package func setTag(_ place: Int16, of bytes: UnsafeRawBufferPointer, _ tag: UInt32) {
        guard place >= 0, let base = bytes.baseAddress, values[Int(place)].length == bytes.count,
            length(Int(place), at: base, bytes.count) > 0
        else { return }
        values[Int(place)].tag = tag
    }

    /// The place of what begins here; -1 when there are too few bytes.
    @inline(__always)
    func place(_ bytes: UnsafeRawPointer, _ count: Int, seed: UInt64) -> Int {
        guard count >= Self.keyBytes else { return -1 }
        var hash = seed
        for at in stride(from: 0, to: Self.keyBytes, by: 16) {
            let low = bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self)
            let high = bytes.loadUnaligned(fromByteOffset: at + 8, as: UInt64.self)
            let product = (hash ^ low).multipliedFullWidth(by: high ^ 0x9E37_79B9_7F4A_7C15)
            hash = product.high ^ product.low
        }
        return Int(hash >> 32) & (Self.places - 1)
    }

    /// The length of the value at a place, if just its bytes begin here; else 0.
    @inline(__always)
    func length(_ place: Int, at bytes: UnsafeRawPointer, _ count: Int) -> Int {
        guard place >= 0 else { return 0 }
        let value = values + place
        guard let kept = value.pointee.bytes, value.pointee.length <= count,
            memcmp(kept, bytes, value.pointee.length) == 0
        else { return 0 }
        return value.pointee.length
    }

    /// Puts a well-formed object or list in its place.
    func keep(_ place: Int, _ bytes: UnsafeRawPointer, _ length: Int) {
        guard place >= 0 else { return }
        let value = values + place
        value.pointee.tag = 0
        guard length <= Self.valueBytesMax else {
            value.pointee.length = 0
            return
        }
        if value.pointee.capacity < length {
            value.pointee.bytes?.deallocate()
            value.pointee.bytes = .allocate(byteCount: length, alignment: 1)
            value.pointee.capacity = length
        }
        value.pointee.bytes?.copyMemory(from: bytes, byteCount: length)
        value.pointee.length = length
    }
}

// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// Texts by number: each different text once, numbered in the order in which they came.
///
/// One thread adds. A text's number never changes and its bytes never move, so others may read below a count that they learned
/// after it was reached. Nothing in here is ever copied for a reader.
final class TextTable: @unchecked Sendable {  // guarded by: readers stay below a count published under History's mutex
    /// Texts that fit.
    let capacity: Int
    private let texts: UnsafeMutablePointer<UnsafeRawBufferPointer>
    /// Below: touched by the adding thread alone.
    private let hashes: UnsafeMutablePointer<UInt64>
    private(set) var count = 0
    private(set) var bytes = 0
    private var slots: UnsafeMutablePointer<UInt32>
    private var slotMask: Int
    private var arena: Arena

    /// Steps from slot to slot after which a text counts as absent, so that chosen collisions cost no time.
    private static let probesMax = 48

    init(capacity: Int, pageBytes: Int = 1 << 16) {
        self.capacity = capacity
        texts = .allocate(capacity: capacity)
        hashes = .allocate(capacity: capacity)
        slotMask = 1023
        slots = .allocate(capacity: slotMask + 1)
        slots.initialize(repeating: .max, count: slotMask + 1)
        arena = Arena(pageBytes: pageBytes)
    }

    deinit {
        texts.deallocate()
        hashes.deallocate()
        slots.deallocate()
        arena.deallocate()
    }

    /// The text of a number below the count.
    @inline(__always)
    func text(_ number: Int) -> UnsafeRawBufferPointer { texts[number] }

    /// The number of a text; nil when it is not there, or not within reach.
    @inline(__always)
    func find(_ text: UnsafeRawBufferPointer, _ hash: UInt64) -> Int? {
        var slot = Int(truncatingIfNeeded: hash >> 32) & slotMask
        for _ in 0..<Self.probesMax {
            let number = slots[slot]
            if number == .max { return nil }
            if hashes[Int(number)] == hash, TextHash.isEqual(texts[Int(number)], text) { return Int(number) }
            slot = (slot + 1) & slotMask
        }
        return nil
    }

    /// Adds a text that `find` did not find; nil when the table is full.
    func add(_ text: UnsafeRawBufferPointer, _ hash: UInt64) -> Int? {
        guard count < capacity else { return nil }
        if count * 2 > slotMask { grow() }
        let number = count
        texts[number] = arena.copy(text)
        hashes[number] = hash
        place(number)
        count += 1
        bytes += text.count
        return number
    }

    /// The number of a text, added if need be; nil when the table is full.
    @inline(__always)
    func number(_ text: UnsafeRawBufferPointer) -> Int? {
        let hash = TextHash.of(text)
        return find(text, hash) ?? add(text, hash)
    }

    private func place(_ number: Int) {
        var slot = Int(truncatingIfNeeded: hashes[number] >> 32) & slotMask
        while slots[slot] != .max { slot = (slot + 1) & slotMask }
        slots[slot] = UInt32(truncatingIfNeeded: number)
    }

    private func grow() {
        slots.deallocate()
        slotMask = slotMask * 2 + 1
        slots = .allocate(capacity: slotMask + 1)
        slots.initialize(repeating: .max, count: slotMask + 1)
        for number in 0..<count { place(number) }
    }
}

/// Memory that is given out in pieces, stays where it is, and goes all at once.
struct Arena {
    private var pages: [UnsafeMutableRawPointer] = []
    private var next: UnsafeMutableRawPointer?
    private var left = 0
    private let pageBytes: Int

    init(pageBytes: Int) { self.pageBytes = pageBytes }

    mutating func take(_ bytes: Int) -> UnsafeMutableRawPointer {
        if bytes > left || next == nil {
            let size = max(bytes, pageBytes)
            let page = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 8)
            pages.append(page)
            next = page
            left = size
        }
        let place = next ?? pages[pages.count - 1]
        next = place + bytes
        left -= bytes
        return place
    }

    mutating func copy(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        let place = take(bytes.count)
        if let base = bytes.baseAddress { place.copyMemory(from: base, byteCount: bytes.count) }
        return UnsafeRawBufferPointer(start: place, count: bytes.count)
    }

    mutating func deallocate() {
        for page in pages { page.deallocate() }
        pages = []
    }
}

/// A quick hash for tables in memory; part of no format. Sixteen bytes a step, each folded by a wide multiplication.
enum TextHash {
    @inline(__always)
    static func of(_ text: UnsafeRawBufferPointer) -> UInt64 {
        guard let base = text.baseAddress else { return 0x2545_F491_4F6C_DD1D }
        let count = text.count
        var hash = UInt64(truncatingIfNeeded: count) &* 0x9E37_79B9_7F4A_7C15
        if count >= 16 {
            var at = 0
            while at + 16 < count {
                hash = mix(hash ^ word(base, at), word(base, at + 8) ^ 0xE703_7ED1_A0B4_28DB)
                at += 16
            }
            hash = mix(hash ^ word(base, count - 16), word(base, count - 8) ^ 0x8EBC_6AF0_9C88_C6E3)
        } else if count >= 8 {
            hash = mix(hash ^ word(base, 0), word(base, count - 8) ^ 0x8EBC_6AF0_9C88_C6E3)
        } else if count >= 4 {
            let pair = UInt64(half(base, 0)) | UInt64(half(base, count - 4)) << 32
            hash = mix(hash ^ pair, 0x8EBC_6AF0_9C88_C6E3)
        } else if count > 0 {
            let letters =
                UInt64(byte(base, 0)) | UInt64(byte(base, count / 2)) << 8 | UInt64(byte(base, count - 1)) << 16
            hash = mix(hash ^ letters, 0x8EBC_6AF0_9C88_C6E3)
        }
        return mix(hash, 0x5896_65A3_89D9_4C65)
    }

    @inline(__always)
    static func isEqual(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Bool {
        guard a.count == b.count else { return false }
        guard let x = a.baseAddress, let y = b.baseAddress else { return true }
        let count = a.count
        if count >= 8, count <= 32 {
            let last = count - 8
            var difference = (word(x, 0) ^ word(y, 0)) | (word(x, last) ^ word(y, last))
            if count > 16 {
                difference |= word(x, 8) ^ word(y, 8)
                difference |= word(x, last - 8) ^ word(y, last - 8)
            }
            return difference == 0
        }
        // Texts that differ do so at one of their ends mostly.
        if count > 32, word(x, count - 8) != word(y, count - 8) { return false }
        return memcmp(x, y, count) == 0
    }

    @inline(__always)
    private static func mix(_ a: UInt64, _ b: UInt64) -> UInt64 {
        let product = a.multipliedFullWidth(by: b)
        return product.high ^ product.low
    }

    @inline(__always)
    private static func word(_ base: UnsafeRawPointer, _ at: Int) -> UInt64 {
        base.loadUnaligned(fromByteOffset: at, as: UInt64.self)
    }

    @inline(__always)
    private static func half(_ base: UnsafeRawPointer, _ at: Int) -> UInt32 {
        base.loadUnaligned(fromByteOffset: at, as: UInt32.self)
    }

    @inline(__always)
    private static func byte(_ base: UnsafeRawPointer, _ at: Int) -> UInt8 {
        base.load(fromByteOffset: at, as: UInt8.self)
    }
}

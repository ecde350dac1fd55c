// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// Keeps columns and decompressed blocks, up to a number of bytes.
///
/// Two generations: what is asked for moves to the young one; when that holds half the bound it becomes the old one, and what
/// the old one still held is let go. Constant time, and nearly as good as keeping an order of use.
final class HistoryCache: Sendable {
    struct Key: Hashable, Sendable {
        /// The segment or chunk, by a number of its own in this process.
        var owner: UInt64
        var part: UInt32
    }

    private struct Generations {
        var young: [Key: [UInt8]] = [:]
        var old: [Key: [UInt8]] = [:]
        var youngBytes = 0
    }

    private let generations = Mutex(Generations())
    private let bytesMax: Int

    init(bytesMax: Int) { self.bytesMax = bytesMax }

    /// The value, made by the body when it is not there. Two askers may make it at the same time.
    func value(_ key: Key, _ make: () throws(HistoryError) -> [UInt8]) throws(HistoryError) -> [UInt8] {
        let known = generations.withLock { state -> [UInt8]? in
            if let value = state.young[key] { return value }
            guard let value = state.old[key] else { return nil }
            Self.keep(key, value, &state, bytesMax)
            return value
        }
        if let known { return known }
        let value = try make()
        generations.withLock { Self.keep(key, value, &$0, bytesMax) }
        return value
    }

    private static func keep(_ key: Key, _ value: [UInt8], _ state: inout Generations, _ bytesMax: Int) {
        if state.young.updateValue(value, forKey: key) == nil { state.youngBytes += value.count }
        if state.youngBytes > bytesMax / 2 {
            state.old = state.young
            state.young = [:]
            state.youngBytes = 0
        }
    }
}

// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// Something that the cache keeps.
protocol CachedPart: AnyObject, Sendable {
    var byteCount: Int { get }
}

/// Keeps parts of segments, up to a number of bytes.
///
/// Two generations: what is asked for moves to the young one; when that holds half the bound it becomes the old one, and what
/// the old one still held is let go. Constant time, and nearly as good as keeping an order of use.
final class HistoryCache: Sendable {
    struct Key: Hashable, Sendable {
        /// The segment, by a number of its own in this process.
        var owner: UInt64
        var part: UInt32
    }

    private final class Bytes: CachedPart {
        let value: [UInt8]
        var byteCount: Int { value.count }
        init(_ value: [UInt8]) { self.value = value }
    }

    private struct Generations {
        var young: [Key: any CachedPart] = [:]
        var old: [Key: any CachedPart] = [:]
        var youngBytes = 0
    }

    private let generations = Mutex(Generations())
    private let bytesMax: Int

    init(bytesMax: Int) { self.bytesMax = bytesMax }

    /// The value, made by the body when it is not there. Two askers may make it at the same time.
    func value(_ key: Key, _ make: () throws(HistoryError) -> [UInt8]) throws(HistoryError) -> [UInt8] {
        try object(key) { () throws(HistoryError) in Bytes(try make()) }.value
    }

    func object<T: CachedPart>(_ key: Key, _ make: () throws(HistoryError) -> T) throws(HistoryError) -> T {
        let known = generations.withLock { state -> (any CachedPart)? in
            if let value = state.young[key] { return value }
            guard let value = state.old[key] else { return nil }
            Self.keep(key, value, &state, bytesMax)
            return value
        }
        if let known = known as? T { return known }
        let value = try make()
        generations.withLock { Self.keep(key, value, &$0, bytesMax) }
        return value
    }

    /// Lets go of what belongs to a segment that is no more.
    func forget(owner: UInt64) {
        generations.withLock { state in
            for key in state.young.keys.filter({ $0.owner == owner }) {
                state.youngBytes -= state.young.removeValue(forKey: key)?.byteCount ?? 0
            }
            for key in state.old.keys.filter({ $0.owner == owner }) { state.old[key] = nil }
        }
    }

    private static func keep(_ key: Key, _ value: any CachedPart, _ state: inout Generations, _ bytesMax: Int) {
        if state.young.updateValue(value, forKey: key) == nil { state.youngBytes += value.byteCount }
        if state.youngBytes > bytesMax / 2 {
            state.old = state.young
            state.young = [:]
            state.youngBytes = 0
        }
    }
}

// SPDX-License-Identifier: Apache-2.0

/// How many callers the next flush should carry, learned from the last ones.
///
/// A flush costs the processor tens of microseconds in the kernel, whatever it carries, so few and full ones are cheap. But
/// callers that wait do nothing, and a flush for which all of them wait leaves the processor idle while the disk works. So
/// the target grows while callers still arrive during a flush, and shrinks when they run dry:
///
/// - The disk is the bound (callers come back faster than a flush takes): everybody should be on board.
/// - The processor is the bound: as many should stay behind as keep it busy for one flush.
struct FlushPace {
    /// What one flush was like. Times in microseconds.
    struct Flush {
        /// Callers that it carried.
        var carried: Int
        /// Callers that arrived while it was under way.
        var arrived: Int
        /// From the end of the flush before to the begin of this.
        var gathering: Int64
        /// Write and flush.
        var flushing: Int64
    }

    private let waitersMax: Int
    /// Callers at whose number the next flush begins.
    private(set) var target = 1
    /// Moving means over about eight flushes, in thousandths of a caller: who arrived during a flush, and who would have at
    /// the mean pace.
    private var arrived = 0
    private var expected = 0

    /// - Parameter waitersMax: the target's upper end.
    init(waitersMax: Int) { self.waitersMax = max(waitersMax, 1) }

    /// - Parameter isComplete: false when the flush began because the time for gathering was over, before the target.
    mutating func note(_ flush: Flush, isComplete: Bool) {
        let cycle = max(flush.gathering + flush.flushing, 1)
        arrived += (flush.arrived * 1000 - arrived) / 8
        expected += (Int(Int64(flush.carried * 1000) * flush.flushing / cycle) - expected) / 8
        if !isComplete {
            // Nobody else came in time.
            target = flush.carried
        } else if flush.gathering < flush.flushing {
            target = max(target, flush.carried) + (flush.arrived + 1) / 2
        } else if arrived * 4 >= expected * 3 {
            target += 1
        } else if arrived * 2 < expected {
            target -= max(target / 16, 1)
        }
        target = min(max(target, 1), waitersMax)
    }
}

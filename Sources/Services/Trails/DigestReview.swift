// SPDX-License-Identifier: Apache-2.0

internal import AWSWire

/// Decides what is due for the digests of one region of a trail; pure, so that every case can be tried.
struct DigestReview {
    enum Verdict: Equatable {
        case nothing
        /// The chain ends without another digest: none of its time is its own.
        case drop
        case begin(DigestChore.Chain)
        /// A digest of the chain is due that ends then.
        case write(DigestChore.Chain, end: Int64, isLast: Bool)
    }

    let trail: Trail
    let region: String
    /// Seconds.
    let interval: Int64
    let now: Timestamp
    /// Whether delivery has come past every change of the configuration, so that no file of an ended chain is to come.
    let isSettled: Bool
    let isLeaving: Bool
    /// Files of this region that no digest lists yet.
    let files: [DeliveredFile]
    /// The end of the region's last digest of any chain, in seconds. A digest's name has its end, so every later one ends later,
    /// even if logging was stopped, started and stopped within a second, or the clock was set back.
    var lastEnd: Int64 = .min

    func verdict(on chain: DigestChore.Chain?) -> Verdict {
        let wanted = isLeaving ? nil : trail.digestChain
        switch (chain, wanted) {
        case (let chain?, let wanted?) where chain.number == wanted.number:
            let end = boundary(after: wanted.anchor, atOrBefore: now.seconds)
            return end > chain.start ? .write(chain, end: end, isLast: false) : .nothing
        case (let chain?, let wanted?):
            // Logging was stopped and started again: the old chain ends where the new one begins.
            return wanted.anchor > chain.start ? .write(chain, end: wanted.anchor, isLast: true) : .drop
        case (let chain?, nil):
            guard isSettled else { return .nothing }
            return .write(chain, end: max(now.wholeSecondsUp, chain.start + 1, pastLastFile), isLast: true)
        case (nil, let wanted?):
            guard region == trail.homeRegion || !files.isEmpty else { return .nothing }
            // Elsewhere a chain begins with the interval in which the first file was delivered.
            let first = files.map(\.delivered).min().map { $0 / 1000 } ?? wanted.anchor
            let start = region == trail.homeRegion ? wanted.anchor : boundary(after: wanted.anchor, atOrBefore: first)
            return .begin(DigestChore.Chain(number: wanted.number, start: max(start, lastEnd), previous: nil))
        case (nil, nil):
            // Stopped before the first look: what was delivered is still proven.
            guard isSettled, let first = files.map(\.delivered).min() else { return .nothing }
            let start = max(first / 1000, lastEnd)
            return .begin(DigestChore.Chain(number: trail.digestChainsBegun, start: start, previous: nil))
        }
    }

    /// The last `anchor + n * interval` that is not after `time`, at least the anchor.
    private func boundary(after anchor: Int64, atOrBefore time: Int64) -> Int64 {
        anchor + max(time - anchor, 0) / interval * interval
    }

    /// A whole second after every file's delivery; later than now only when the clock was turned back.
    private var pastLastFile: Int64 { (files.map(\.delivered).max() ?? 0) / 1000 + 1 }
}

// SPDX-License-Identifier: Apache-2.0
//
// Matches a pattern with `*` and `?` against a text, in a number of steps that no pattern can blow up.
//
// Nearly all patterns are decided by a plain walk with one place to go back to, the last star. A hostile pattern
// (`*aaaa...b`) makes that walk quadratic; so it has a budget of steps, linear in both lengths, and when that is spent
// the text is matched again by the careful way: the pattern falls into pieces between its stars; the first and the
// last piece are tied to the ends of the text; the others are looked for from left to right, each in what the one
// before left over. A piece without `?` is found as Knuth, Morris and Pratt do (SIAM J. Comput. 6, 1977), a piece with
// `?` by a set of states in the bits of words (Baeza-Yates and Gonnet, CACM 35, 1992): one step for each byte of the
// text and each 64 tokens of the piece, which cannot have more tokens than the text has bytes.

/// The tokens of a pattern: a byte of text (0 to 255), `star` or `question`. A `?` stands for one character, which may
/// be several bytes of UTF-8.
enum WildcardMatcher {
    static let star: UInt16 = 256
    static let question: UInt16 = 257

    static func matches(
        _ pattern: Span<UInt16>, _ patternRange: Range<Int>, _ text: Span<UInt8>, _ textRange: Range<Int>
    ) -> Bool {
        var steps = 0
        return matches(pattern, patternRange, text, textRange, steps: &steps)
    }

    /// The same; adds what it cost to `steps`.
    static func matches(
        _ pattern: Span<UInt16>, _ patternRange: Range<Int>, _ text: Span<UInt8>, _ textRange: Range<Int>,
        steps: inout Int
    ) -> Bool {
        let budget = 4 * (patternRange.count + textRange.count) + 64
        if let answer = walk(pattern, patternRange, text, textRange, budget: budget, steps: &steps) { return answer }
        return matchPieces(pattern, patternRange, text, textRange, steps: &steps)
    }

    // MARK: The plain walk

    /// Nil if it takes more steps than `budget`.
    private static func walk(
        _ pattern: Span<UInt16>, _ patternRange: Range<Int>, _ text: Span<UInt8>, _ textRange: Range<Int>,
        budget: Int, steps: inout Int
    ) -> Bool? {
        var p = patternRange.lowerBound
        var t = textRange.lowerBound
        var afterStar = -1
        var resume = t
        var left = budget
        defer { steps += budget - left }
        while t < textRange.upperBound {
            left -= 1
            guard left > 0 else { return nil }
            if p < patternRange.upperBound {
                let token = pattern[p]
                if token == star {
                    p += 1
                    if p == patternRange.upperBound { return true }
                    afterStar = p
                    resume = t
                    continue
                }
                if token == UInt16(text[t]) || token == question {
                    t = token == question ? endOfCharacter(text, t, textRange.upperBound) : t + 1
                    p += 1
                    continue
                }
            }
            // An earlier star never needs to be tried again once a later one was reached.
            guard afterStar >= 0 else { return false }
            resume = endOfCharacter(text, resume, textRange.upperBound)
            t = resume
            p = afterStar
        }
        while p < patternRange.upperBound, pattern[p] == star { p += 1 }
        return p == patternRange.upperBound
    }

    private static func endOfCharacter(_ text: Span<UInt8>, _ start: Int, _ limit: Int) -> Int {
        var end = start + 1
        while end < limit, isContinuation(text[end]) { end += 1 }
        return end
    }

    private static func isContinuation(_ byte: UInt8) -> Bool { byte & 0xC0 == 0x80 }

    // MARK: Piece by piece

    static func matchPieces(
        _ pattern: Span<UInt16>, _ patternRange: Range<Int>, _ text: Span<UInt8>, _ textRange: Range<Int>,
        steps: inout Int
    ) -> Bool {
        var pieces: [Range<Int>] = []
        var start = patternRange.lowerBound
        for index in patternRange where pattern[index] == star {
            pieces.append(start..<index)
            start = index + 1
        }
        pieces.append(start..<patternRange.upperBound)
        steps += patternRange.count
        guard let head = prefixEnd(pattern, pieces[0], text, textRange, &steps) else { return false }
        guard pieces.count > 1 else { return head == textRange.upperBound }
        guard let tail = suffixStart(pattern, pieces[pieces.count - 1], text, head..<textRange.upperBound, &steps)
        else { return false }
        var rest = head..<tail
        for piece in pieces[1..<(pieces.count - 1)] where !piece.isEmpty {
            guard let end = find(pattern, piece, text, rest, &steps) else { return false }
            rest = end..<tail
        }
        return true
    }

    /// Where the text's beginning that matches a piece ends.
    private static func prefixEnd(
        _ pattern: Span<UInt16>, _ piece: Range<Int>, _ text: Span<UInt8>, _ range: Range<Int>, _ steps: inout Int
    ) -> Int? {
        var t = range.lowerBound
        for p in piece {
            steps += 1
            guard t < range.upperBound else { return nil }
            if pattern[p] == question {
                t = endOfCharacter(text, t, range.upperBound)
            } else if pattern[p] == UInt16(text[t]) {
                t += 1
            } else {
                return nil
            }
        }
        return t
    }

    /// Where the text's end that matches a piece begins.
    private static func suffixStart(
        _ pattern: Span<UInt16>, _ piece: Range<Int>, _ text: Span<UInt8>, _ range: Range<Int>, _ steps: inout Int
    ) -> Int? {
        var t = range.upperBound
        for p in piece.reversed() {
            steps += 1
            guard t > range.lowerBound else { return nil }
            t -= 1
            if pattern[p] == question {
                while t > range.lowerBound, isContinuation(text[t]) { t -= 1 }
            } else if pattern[p] != UInt16(text[t]) {
                return nil
            }
        }
        return t
    }

    /// Where the first match of a piece ends.
    private static func find(
        _ pattern: Span<UInt16>, _ piece: Range<Int>, _ text: Span<UInt8>, _ range: Range<Int>, _ steps: inout Int
    ) -> Int? {
        guard piece.count <= range.count else { return nil }
        for p in piece where pattern[p] == question { return findStates(pattern, piece, text, range, &steps) }
        // How far the piece matches itself, at each of its places.
        var overlaps = [0]
        overlaps.reserveCapacity(piece.count)
        var matched = 0
        for p in piece.dropFirst() {
            while matched > 0, pattern[p] != pattern[piece.lowerBound + matched] {
                matched = overlaps[matched - 1]
                steps += 1
            }
            if pattern[p] == pattern[piece.lowerBound + matched] { matched += 1 }
            overlaps.append(matched)
            steps += 1
        }
        matched = 0
        for t in range {
            while matched > 0, UInt16(text[t]) != pattern[piece.lowerBound + matched] {
                matched = overlaps[matched - 1]
                steps += 1
            }
            if UInt16(text[t]) == pattern[piece.lowerBound + matched] { matched += 1 }
            steps += 1
            if matched == piece.count { return t + 1 }
        }
        return nil
    }

    /// The same for a piece with `?`. State n says that the n + 1 first tokens match what ends here.
    private static func findStates(
        _ pattern: Span<UInt16>, _ piece: Range<Int>, _ text: Span<UInt8>, _ range: Range<Int>, _ steps: inout Int
    ) -> Int? {
        let words = (piece.count + 63) / 64
        // For each byte, the states that it can lead to.
        var reachable = [UInt64](repeating: 0, count: 256 * words)
        var questions = [UInt64](repeating: 0, count: words)
        for (state, p) in piece.enumerated() {
            let bit: UInt64 = 1 << UInt64(state % 64)
            if pattern[p] == question {
                questions[state / 64] |= bit
            } else {
                reachable[Int(pattern[p]) * words + state / 64] |= bit
            }
        }
        steps += piece.count + 256 * words
        let last: UInt64 = 1 << UInt64((piece.count - 1) % 64)
        var states = [UInt64](repeating: 0, count: words)
        for t in range {
            let isInside = isContinuation(text[t])
            let row = Int(text[t]) * words
            var carry: UInt64 = 1
            for word in 0..<words {
                let old = states[word]
                // A `?` takes the first byte of a character, and then stays for the others.
                let next = (old << 1 | carry) & (reachable[row + word] | (isInside ? 0 : questions[word]))
                states[word] = next | (isInside ? old & questions[word] : 0)
                carry = old >> 63
                steps += 1
            }
            guard states[words - 1] & last != 0 else { continue }
            return endOfCharacter(text, t, range.upperBound)
        }
        return nil
    }
}

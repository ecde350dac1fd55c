// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Identity
import Testing

struct SignInThrottleTests {
    private let start = Timestamp(seconds: 1_800_000_000)

    private func limits(_ change: (inout SignInThrottle.Limits) -> Void = { _ in }) -> SignInThrottle.Limits {
        var limits = SignInThrottle.Limits()
        limits.perNameAndAddress = 3
        limits.perName = 5
        limits.perAddress = 8
        change(&limits)
        return limits
    }

    @Test func `guesses at one name from one address end, until the window is over`() {
        var throttle = SignInThrottle(limits: limits())
        for _ in 0..<3 {
            let taken1 = throttle.begin(name: "n", address: "a", now: start)
            #expect(taken1)
            throttle.end(name: "n", address: "a", .failed)
        }
        let taken2 = throttle.begin(name: "n", address: "a", now: start.adding(seconds: 299))
        #expect(!taken2)
        let taken3 = throttle.begin(name: "n", address: "b", now: start)
        #expect(taken3)
        let taken4 = throttle.begin(name: "n", address: "a", now: start.adding(seconds: 300))
        #expect(taken4)
    }

    @Test func `guesses at one name from many addresses end, and at many names from one address`() {
        var byName = SignInThrottle(limits: limits())
        var byAddress = byName
        for index in 0..<5 {
            let taken5 = byName.begin(name: "n", address: "\(index)", now: start)
            #expect(taken5)
            byName.end(name: "n", address: "\(index)", .failed)
        }
        let taken6 = byName.begin(name: "n", address: "fresh", now: start)
        #expect(!taken6)
        for index in 0..<8 {
            let taken7 = byAddress.begin(name: "\(index)", address: "a", now: start)
            #expect(taken7)
            byAddress.end(name: "\(index)", address: "a", .failed)
        }
        let taken8 = byAddress.begin(name: "fresh", address: "a", now: start)
        #expect(!taken8)
    }

    @Test func `success forgets the failures before it, a right password without its code does not`() {
        var throttle = SignInThrottle(limits: limits())
        for ending in [SignInThrottle.Ending.failed, .failed, .unfinished] {
            let taken9 = throttle.begin(name: "n", address: "a", now: start)
            #expect(taken9)
            throttle.end(name: "n", address: "a", ending)
        }
        var other = throttle
        let taken10 = other.begin(name: "n", address: "a", now: start)
        #expect(taken10)
        other.end(name: "n", address: "a", .failed)
        let taken11 = other.begin(name: "n", address: "a", now: start)
        #expect(!taken11)
        let taken12 = throttle.begin(name: "n", address: "a", now: start)
        #expect(taken12)
        throttle.end(name: "n", address: "a", .succeeded)
        for _ in 0..<3 {
            let taken13 = throttle.begin(name: "n", address: "a", now: start)
            #expect(taken13)
            throttle.end(name: "n", address: "a", .failed)
        }
    }

    @Test func `few attempts are worked on at once, and the counts are bounded`() {
        var throttle = SignInThrottle(
            limits: limits {
                $0.runningMax = 2
                $0.countsMax = 30
                $0.perAddress = 1000
            })
        let taken14 = throttle.begin(name: "1", address: "a", now: start)
        #expect(taken14)
        let taken15 = throttle.begin(name: "2", address: "a", now: start)
        #expect(taken15)
        let taken16 = throttle.begin(name: "3", address: "a", now: start)
        #expect(!taken16)
        throttle.end(name: "1", address: "a", .failed)
        for index in 0..<200 {
            let taken17 = throttle.begin(name: "x\(index)", address: "\(index)", now: start)
            #expect(taken17)
            throttle.end(name: "x\(index)", address: "\(index)", .failed)
        }
    }
}

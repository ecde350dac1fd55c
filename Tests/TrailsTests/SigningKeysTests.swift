// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Storage
import Testing
import Trails

struct SigningKeysTests {
    private func keys(
        _ house: TrailsHarness, from: Int64? = nil, to: Int64? = nil
    ) async throws -> [(start: Int64, end: Int64, fingerprint: String)] {
        var parameters = WireStructure()
        parameters.append("StartTime", ifPresent: from.map { .integer(house.time.now.seconds + $0) })
        parameters.append("EndTime", ifPresent: to.map { .integer(house.time.now.seconds + $0) })
        let list = try await house.call("ListPublicKeys", parameters)["PublicKeyList"]?.asList ?? []
        return try list.map { entry in
            let members = try #require(entry.asStructure)
            guard case .timestamp(let start)? = members["ValidityStartTime"],
                case .timestamp(let end)? = members["ValidityEndTime"]
            else { throw CancellationError() }
            return (start.seconds, end.seconds, try #require(members["Fingerprint"]?.asString))
        }
    }

    @Test func `there is always a key, whatever the range`() async throws {
        let house = try TrailsHarness()
        let years: Int64 = 10 * 365 * 86_400
        for range in [(-years, -years + 3_600), (years, years + 3_600), (-3_600, 7_200)] {
            #expect(try await keys(house, from: range.0, to: range.1).count == 1)
        }
        #expect(try await keys(house).count == 1)
    }

    @Test func `a successor is listed before the end, and around the change both are valid for two hours`() async throws
    {
        let house = try TrailsHarness()
        let listed = try await keys(house)
        let first = try #require(listed.first)
        house.time.advance(seconds: 29 * 86_400 + 1)
        try await house.signingKeys.turn()
        let both = try await keys(house)
        #expect(both.count == 2)
        #expect(both[0].fingerprint == first.fingerprint)
        #expect(both[0].end - both[1].start >= 7_200)
        #expect(both[1].start > house.time.now.seconds)
        #expect(both[1].end - both[1].start >= 29 * 86_400)
        // Asked as the AWS CLI asks, at every hour around the change: no hour without a key.
        for hour: Int64 in 0..<48 {
            let listed = try await keys(house, from: hour * 3_600, to: (hour + 2) * 3_600)
            #expect(listed.contains { $0.start <= house.time.now.seconds + hour * 3_600 })
        }
    }

    @Test func `keys outlive the process, and two turns at once make one key`() async throws {
        let house = try TrailsHarness()
        async let one: Void = house.signingKeys.turn()
        async let two: Void = house.signingKeys.turn()
        _ = try await (one, two)
        let before = try await keys(house).map(\.fingerprint)
        #expect(before.count == 1)
        let next = try TrailsHarness(restarting: house)
        #expect(try await keys(next).map(\.fingerprint) == before)
    }

    @Test func `the private key does not lie in the catalog in the open`() async throws {
        let house = try TrailsHarness()
        try await house.signingKeys.turn()
        let documents = try await house.catalog.read { snapshot throws(AWSError) in
            try snapshot.scan(prefix: CatalogKey.prefix("signing-key"))
        }
        let document = try #require(documents.first)
        let text = String(decoding: document.value, as: UTF8.self)
        // A private key in DER begins with SEQUENCE and version 0; the public one with SEQUENCE and the modulus.
        #expect(!text.contains("48,130,4,"))
        #expect(text.contains("sealedPrivateKey"))
    }

    @Test func `a start after the end is refused`() async throws {
        let house = try TrailsHarness()
        do {
            _ = try await keys(house, from: 10, to: 0)
            Issue.record("it was not refused")
        } catch let error as AWSError {
            #expect(error.code == "InvalidTimeRangeException")
        }
    }
}

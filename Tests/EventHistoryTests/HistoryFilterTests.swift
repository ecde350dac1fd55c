// SPDX-License-Identifier: Apache-2.0

import EventHistory
import EventRecord
import Foundation
import Testing

/// Filters on any field, answered from columns and tokens, against the filter asked of each record.
struct HistoryFilterTests {
    private static let owner = "111122223333"

    /// Records of a few kinds, with values of every form at the same paths.
    private struct Maker {
        var random: SeededRandom

        mutating func pick(_ choices: [String]) -> String { choices.randomElement(using: &random) ?? "" }

        private mutating func value(_ serial: Int) -> String {
            pick([
                "\"part-\(serial % 40)\"", "\"p\\u0061rt-\(serial % 7)\"", "\"\"", "\(serial % 50)", "-1.5e3", "true",
                "null", "[]", "{}", "[\"part-\(serial % 9)\",3]", "{\"key\":\"part-\(serial % 5)\"}",
                "[{\"key\":\"part-3\"},{\"key\":[\"x\",\"part-8\"]}]",
                "\"00000000-0000-4000-8000-00000000000\(serial % 10)\"",
                "\"2026-01-0\(serial % 9 + 1)T00:00:00Z\"", "\"10.0.\(serial % 4).7\"",
                "\"back\\\\slash \\\"part-2\\\"\"",
            ])
        }

        mutating func record(_ serial: Int) -> [UInt8] {
            let time = EventTime.text(1_700_000_000 + Int64(serial / 3) - (serial % 17 == 0 ? 5000 : 0))
            let identity = pick([
                "{\"type\":\"IAMUser\",\"userName\":\"anna\",\"arn\":\"arn:aws:iam::1:user/anna\"}",
                "{\"type\":\"AssumedRole\",\"arn\":\"arn:aws:sts::1:assumed-role/r/s\(serial % 6)\",\"sessionContext\":{\"sessionIssuer\":{\"userName\":\"part-\(serial % 3)\"},\"attributes\":{\"mfa\":\"false\"}}}",
                "[{\"arn\":\"part-1\"}]", "null", "\"part-4\"",
            ])
            var members = [
                "\"eventTime\":\"\(time)\"", "\"eventSource\":\"\(pick(["s3.amazonaws.com", "kms.amazonaws.com"]))\"",
                "\"eventName\":\"\(pick(["Get", "Put", "List"]))\"",
                "\"sourceIPAddress\":\(pick(["\"10.0.0.\(serial % 20)\"", "\"part-1.amazonaws.com\"", "[\"10.0.0.1\"]", "7"]))",
                "\"requestParameters\":\(pick(["null", value(serial), "{\"key\":\(value(serial)),\"deep\":{\"key\":\(value(serial + 1))}}"]))",
                "\"eventID\":\"00000000-0000-4000-8000-\(String(format: "%012d", serial))\"",
                "\"awsRegion\":\"us-east-1\"",
            ]
            if serial % 5 != 0 { members.insert("\"userIdentity\":\(identity)", at: 0) }
            if serial % 4 == 0 { members.append("\"errorCode\":\(pick(["\"part-7\"", "null", "\"Denied\""]))") }
            if serial % 6 == 0 { members.append("\"own\":\(value(serial))") }
            if serial % 7 == 0 { members.append("\"responseElements\":[{\"key\":\(value(serial))},\(value(serial))]") }
            if serial % 31 == 0 { members.append("\"eventID\":\"twice\"") }
            if serial % 37 == 0 { members[0] = "\"eventTime\":\"never\"" }
            let record = "{" + members.joined(separator: serial % 11 == 0 ? " , " : ",") + "}"
            return Array((serial % 41 == 0 ? String(record.dropLast(9)) : record).utf8)
        }

        mutating func filter(_ depth: Int = 0) -> String {
            let path = pick([
                "requestParameters.key", "requestParameters", "requestParameters.deep.key", "responseElements.key",
                "own",
                "own.key", "userIdentity.arn", "userIdentity.sessionContext.sessionIssuer.userName", "ip", "errorCode",
                "userIdentity.sessionContext.attributes.mfa", "eventName", "eventID", "user", "source", "absent.key",
                "responseElements", "userIdentity", "eventTime",
            ])
            let value = pick([
                "part-3", "part-1*", "*art-2*", "*\\\"part*", "*slash*", "7", "true", "*-4000-*", "2026*", "\"\"",
                "Denied",
            ])
            switch Int.random(in: 0..<(depth < 3 ? 13 : 8), using: &random) {
            case 0, 1: return "\(path) = \(value.contains("\\") ? "part-4" : value)"
            case 2: return "\(path) ~ \"\(value.replacingOccurrences(of: "\"", with: ""))\""
            case 3: return "\(path) exists"
            case 4: return "\(path) in 3..20"
            case 5: return "\(path) in 10.0.0.0/22"
            case 6:
                return pick(["\"part-1\"", "\"part-\"", "\"key\"", "\"10.0.0\"", "\"\\\"key\\\":\\\"part\"", "\"mfa\""])
            case 7: return pick(["time >= 1700000050", "time < 1700000020", "category = Data", "\(path) < \"part-2\""])
            case 8, 9: return "not (\(filter(depth + 1)))"
            case 10: return "(\(filter(depth + 1)) or \(filter(depth + 1)))"
            default: return "(\(filter(depth + 1)) and \(filter(depth + 1)))"
            }
        }
    }

    @Test(arguments: [21, 22, 23] as [UInt64])
    func `any filter takes the events that it takes record by record`(_ seed: UInt64) async throws {
        var limits = HistoryLimits.small
        limits.segmentEventsMax = 256
        let bench = try Bench(limits: limits)
        var maker = Maker(random: SeededRandom(seed: seed))
        var records: [(number: UInt64, record: [UInt8])] = []
        for part in 0..<6 {
            for serial in part * 100..<part * 100 + 100 {
                let record = maker.record(serial)
                records.append((try await bench.append(record, owner: Self.owner), record))
            }
            if part < 5 { try await bench.history.seal() }
            if part == 3 { try await bench.history.maintain() }
        }
        var hits = 0
        for _ in 0..<60 {
            let text = maker.filter()
            // Some say what cannot be asked, such as a time that is none.
            guard let filter = try? FilterLanguage.parse(text, now: 0) else { continue }
            let expected = records.filter { item in
                var fields = EventFields()
                _ = try? EventReader.scan(item.record[...], into: &fields)
                return item.record.withUnsafeBytes { filter.matches(fields, in: $0) }
            }
            hits += expected.count
            let query = HistoryQuery(ownerAccount: Self.owner, filter: filter, limit: 500)
            let found = try await bench.all(query)
            #expect(found.map(\.number).sorted() == expected.map(\.number), "\(text)")
            let wrong = Set(found.map(\.number)).symmetricDifference(expected.map(\.number)).min()
            if let wrong, let item = records.first(where: { $0.number == wrong }) {
                Issue.record("\(text): \(String(decoding: item.record, as: UTF8.self))")
            }
            for paths in [[], ["eventName"], ["eventName", "source"], ["requestParameters.key", "eventName"]] {
                let grouping = EventTally.Grouping(paths: try paths.map { try FilterLanguage.path($0) })
                var model = EventTally(grouping)
                for item in expected {
                    var fields = EventFields()
                    _ = try? EventReader.scan(item.record[...], into: &fields)
                    item.record.withUnsafeBytes { model.add(fields, in: $0) }
                }
                let counted = try await bench.history.tally(query, grouping)
                #expect(counted.rows == model.rows, "\(text) by \(paths)")
                #expect(counted.rows(first: 2) == Array(model.rows.prefix(2)), "\(text) by \(paths)")
            }
        }
        // Neither nothing nor everything.
        #expect((1000..<30_000).contains(hits))
        await bench.history.close()
    }
}

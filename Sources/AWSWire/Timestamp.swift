// SPDX-License-Identifier: Apache-2.0

/// A point in time in whole milliseconds since 1970-01-01T00:00:00Z.
///
/// Calendar conversions follow the proleptic Gregorian calendar without leap seconds ("days from civil", Howard Hinnant,
/// chrono-compatible low-level date algorithms) and allocate nothing but the text they return.
package struct Timestamp: Sendable, Hashable, Comparable {
    package var milliseconds: Int64

    package init(milliseconds: Int64) { self.milliseconds = milliseconds }
    package init(seconds: Int64) { milliseconds = seconds * 1000 }

    package static func < (a: Timestamp, b: Timestamp) -> Bool { a.milliseconds < b.milliseconds }

    /// Whole seconds, rounded down.
    package var seconds: Int64 { milliseconds >= 0 ? milliseconds / 1000 : (milliseconds - 999) / 1000 }

    package func adding(milliseconds delta: Int64) -> Timestamp { Timestamp(milliseconds: milliseconds + delta) }
    package func adding(seconds delta: Int64) -> Timestamp { Timestamp(milliseconds: milliseconds + delta * 1000) }
}

/// Where the present time comes from; a parameter everywhere, so that tests can turn the clock.
package typealias Clock = @Sendable () -> Timestamp

/// The parts of a point in time in UTC.
package struct CalendarTime: Sendable, Equatable {
    package var year: Int
    package var month: Int
    package var day: Int
    package var hour: Int
    package var minute: Int
    package var second: Int
    package var millisecond: Int

    package init(_ time: Timestamp) {
        let seconds = time.seconds
        millisecond = Int(time.milliseconds - seconds * 1000)
        var days = seconds / 86400
        if seconds % 86400 < 0 { days -= 1 }
        let ofDay = Int(seconds - days * 86400)
        hour = ofDay / 3600
        minute = ofDay % 3600 / 60
        second = ofDay % 60
        let z = Int(days) + 719_468
        let era = (z >= 0 ? z : z - 146_096) / 146_097
        let dayOfEra = z - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        day = dayOfYear - (153 * shifted + 2) / 5 + 1
        month = shifted < 10 ? shifted + 3 : shifted - 9
        year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    }

    /// Day of the week, 0 for Sunday.
    package static func weekday(of time: Timestamp) -> Int {
        var days = time.seconds / 86400
        if time.seconds % 86400 < 0 { days -= 1 }
        let day = (days + 4) % 7
        return Int(day < 0 ? day + 7 : day)
    }
}

extension Timestamp {
    /// Makes a time from calendar parts in UTC; nil when a part is out of its range.
    package init?(year: Int, month: Int, day: Int, hour: Int, minute: Int, second: Int, millisecond: Int = 0) {
        guard (1...12).contains(month), day >= 1, (0...23).contains(hour), (0...59).contains(minute),
            (0...59).contains(second), (0...9999).contains(year)
        else { return nil }
        let isLeap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0
        let lengths = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        guard day <= lengths[month - 1] else { return nil }
        let y = month <= 2 ? year - 1 : year
        let era = (y >= 0 ? y : y - 399) / 400
        let yearOfEra = y - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        let days = Int64(era) * 146_097 + Int64(dayOfEra) - 719_468
        let seconds = days * 86400 + Int64(hour * 3600 + minute * 60 + second)
        self.init(milliseconds: seconds * 1000 + Int64(millisecond))
    }

    /// `2026-11-24T20:17:53Z`, whole seconds (ISO 8601).
    package var iso8601: String {
        let c = CalendarTime(self)
        return
            "\(pad4(c.year))-\(pad2(c.month))-\(pad2(c.day))T\(pad2(c.hour)):\(pad2(c.minute)):\(pad2(c.second))Z"
    }

    /// `2026-11-24T20:17:53.042Z`, as S3 writes times in XML.
    package var iso8601Milliseconds: String {
        let c = CalendarTime(self)
        let ms = String(c.millisecond)
        let fraction = String(repeating: "0", count: 3 - ms.count) + ms
        return
            "\(pad4(c.year))-\(pad2(c.month))-\(pad2(c.day))T\(pad2(c.hour)):\(pad2(c.minute)):\(pad2(c.second)).\(fraction)Z"
    }

    /// `20261124T201753Z`, as in `X-Amz-Date` and digest file names.
    package var iso8601Basic: String {
        let c = CalendarTime(self)
        return "\(pad4(c.year))\(pad2(c.month))\(pad2(c.day))T\(pad2(c.hour))\(pad2(c.minute))\(pad2(c.second))Z"
    }

    /// `Tue, 24 Nov 2026 20:17:53 GMT` (RFC 9110, IMF-fixdate).
    package var httpDate: String {
        let c = CalendarTime(self)
        let day = Self.weekdays[CalendarTime.weekday(of: self)]
        return
            "\(day), \(pad2(c.day)) \(Self.months[c.month - 1]) \(pad4(c.year)) \(pad2(c.hour)):\(pad2(c.minute)):\(pad2(c.second)) GMT"
    }

    /// `Jul 30, 2024, 9:46:15 PM`, as CloudTrail's records write times inside of request parameters and response elements.
    package var recordForm: String { recordForm(afterYear: ", ") }

    /// `Jul 30, 2024 9:46:15 PM`, as the records of some older services, IAM among them, write them.
    package var recordFormWithoutComma: String { recordForm(afterYear: " ") }

    private func recordForm(afterYear separator: String) -> String {
        let c = CalendarTime(self)
        let hour = c.hour % 12 == 0 ? 12 : c.hour % 12
        return "\(Self.months[c.month - 1]) \(c.day), \(c.year)\(separator)\(hour):\(pad2(c.minute)):\(pad2(c.second)) "
            + (c.hour < 12 ? "AM" : "PM")
    }

    package static let weekdays = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
    package static let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]

    /// Reads `2026-11-24T20:17:53[.fff](Z|+hh:mm)`, or `20261124T201753Z`; nil for anything else.
    package init?(iso8601 text: some StringProtocol) {
        var digits = DigitReader(Array(text.utf8))
        let isBasic = digits.bytes.count >= 5 && digits.bytes[4] != UInt8(ascii: "-")
        guard let year = digits.number(4), isBasic || digits.skip("-"), let month = digits.number(2),
            isBasic || digits.skip("-"), let day = digits.number(2), digits.skip("T") || digits.skip(" "),
            let hour = digits.number(2), isBasic || digits.skip(":"), let minute = digits.number(2),
            isBasic || digits.skip(":"), let second = digits.number(2)
        else { return nil }
        var millisecond = 0
        if digits.skip(".") {
            guard let fraction = digits.fraction() else { return nil }
            millisecond = fraction
        }
        var offset: Int64 = 0
        if !digits.skip("Z") {
            let isMinus = digits.skip("-")
            guard isMinus || digits.skip("+"), let h = digits.number(2) else { return nil }
            _ = digits.skip(":")
            guard let m = digits.number(2), h < 24, m < 60 else { return nil }
            offset = Int64(h * 3600 + m * 60) * (isMinus ? -1 : 1)
        }
        guard digits.isAtEnd,
            let time = Timestamp(
                year: year, month: month, day: day, hour: hour, minute: minute, second: second, millisecond: millisecond
            )
        else { return nil }
        self = time.adding(seconds: -offset)
    }

    /// Reads an HTTP date in IMF-fixdate form (RFC 9110, section 5.6.7); nil for anything else.
    package init?(httpDate text: some StringProtocol) {
        let parts = text.split(separator: " ")
        guard parts.count == 6, parts[0].hasSuffix(","), parts[5] == "GMT" || parts[5] == "UTC" || parts[5] == "+0000",
            let day = Int(parts[1]), let month = Self.months.firstIndex(of: String(parts[2])), let year = Int(parts[3])
        else { return nil }
        let clock = parts[4].split(separator: ":").compactMap { Int($0) }
        guard clock.count == 3 else { return nil }
        self.init(
            year: year, month: month + 1, day: day, hour: clock[0], minute: clock[1], second: clock[2])
    }
}

private func pad2(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }

private func pad4(_ value: Int) -> String {
    let text = String(value)
    return text.count >= 4 ? text : String(repeating: "0", count: 4 - text.count) + text
}

private struct DigitReader {
    let bytes: [UInt8]
    var index = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var isAtEnd: Bool { index == bytes.count }

    mutating func number(_ count: Int) -> Int? {
        guard index + count <= bytes.count else { return nil }
        var value = 0
        for byte in bytes[index..<index + count] {
            guard (0x30...0x39).contains(byte) else { return nil }
            value = value * 10 + Int(byte - 0x30)
        }
        index += count
        return value
    }

    /// Milliseconds from one to nine fraction digits.
    mutating func fraction() -> Int? {
        let start = index
        var value = 0
        while index < bytes.count, (0x30...0x39).contains(bytes[index]) {
            if index - start < 3 { value = value * 10 + Int(bytes[index] - 0x30) }
            index += 1
        }
        let count = index - start
        guard (1...9).contains(count) else { return nil }
        for _ in 0..<max(0, 3 - count) { value *= 10 }
        return value
    }

    mutating func skip(_ character: Unicode.Scalar) -> Bool {
        guard index < bytes.count, bytes[index] == UInt8(ascii: character) else { return false }
        index += 1
        return true
    }
}

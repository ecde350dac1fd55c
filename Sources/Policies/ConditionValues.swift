// SPDX-License-Identifier: Apache-2.0
//
// The values that condition operators compare: decimal numbers, points in time, address ranges, base64.
// Sources: IAM User Guide, "IAM JSON policy elements: Condition operators"; W3C NOTE-datetime; RFC 4632, RFC 4291
// (text forms of addresses), RFC 4648 section 4 (base64).

/// A decimal number, exact to 18 places before and after the point.
struct DecimalNumber: Comparable {
    private static let places = 18
    private static let digitsMaximum = 19
    private let scaled: Int128

    /// Reads `-12.5` and the like; nil for anything that is no such number.
    init?(_ text: [UInt8]) {
        var digits = text[...]
        let sign = digits.first
        let isNegative = sign == UInt8(ascii: "-")
        if isNegative || sign == UInt8(ascii: "+") { digits = digits.dropFirst() }
        let parts = digits.split(separator: UInt8(ascii: "."), maxSplits: 1, omittingEmptySubsequences: false)
        guard let integer = parts.first, integer.count <= Self.digitsMaximum else { return nil }
        let fraction = parts.count == 2 ? parts[1] : []
        guard !integer.isEmpty || !fraction.isEmpty, parts.count == 1 || !fraction.isEmpty else { return nil }
        var value: Int128 = 0
        for digit in integer {
            guard let number = decimalDigit(digit) else { return nil }
            value = value * 10 + Int128(number)
        }
        var place = 0
        for digit in fraction {
            guard let number = decimalDigit(digit) else { return nil }
            if place < Self.places {
                value = value * 10 + Int128(number)
                place += 1
            } else if number != 0 {
                return nil
            }
        }
        while place < Self.places {
            value *= 10
            place += 1
        }
        scaled = isNegative ? -value : value
    }

    static func < (left: DecimalNumber, right: DecimalNumber) -> Bool { left.scaled < right.scaled }
}

func decimalDigit(_ byte: UInt8) -> Int? {
    (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) ? Int(byte - UInt8(ascii: "0")) : nil
}

/// A point in time, as W3C and ISO 8601 forms or epoch seconds say it.
struct PolicyDate: Comparable {
    /// The years that IAM takes; they are those whose milliseconds fit into 64 bits.
    private static let years = -292_275_054...292_278_993

    private let seconds: Int64
    private let nanoseconds: Int64

    /// Nil for anything that is no date: what IAM refuses when such a policy is written.
    init?(_ text: [UInt8]) {
        if let epoch = Self.epochSeconds(text) {
            seconds = epoch
            nanoseconds = 0
            return
        }
        var scanner = DateScanner(text: text)
        guard let parsed = scanner.read(years: Self.years) else { return nil }
        seconds = parsed.seconds
        nanoseconds = parsed.nanoseconds
    }

    /// Four digits are a year; any other number of digits counts seconds.
    private static func epochSeconds(_ text: [UInt8]) -> Int64? {
        guard text.count != 4, !text.isEmpty, text.allSatisfy({ decimalDigit($0) != nil }) else { return nil }
        return Int64(String(decoding: text, as: UTF8.self))
    }

    static func < (left: PolicyDate, right: PolicyDate) -> Bool {
        (left.seconds, left.nanoseconds) < (right.seconds, right.nanoseconds)
    }
}

private struct DateScanner {
    let text: [UInt8]
    var index = 0

    init(text: [UInt8]) { self.text = text }

    private var isAtEnd: Bool { index == text.count }

    private mutating func take(_ byte: Unicode.Scalar) -> Bool {
        guard index < text.count, text[index] == UInt8(ascii: byte) else { return false }
        index += 1
        return true
    }

    /// One or two digits.
    private mutating func number(in range: ClosedRange<Int>) -> Int? {
        var value = 0
        var digits = 0
        while digits < 2, index < text.count, let digit = decimalDigit(text[index]) {
            value = value * 10 + digit
            digits += 1
            index += 1
        }
        return digits > 0 && range.contains(value) ? value : nil
    }

    private mutating func year(in range: ClosedRange<Int>) -> Int? {
        let isNegative = take("-")
        if !isNegative { _ = take("+") }
        var value = 0
        var digits = 0
        while index < text.count, digits < 10, let digit = decimalDigit(text[index]) {
            value = value * 10 + digit
            digits += 1
            index += 1
        }
        guard digits >= 4 else { return nil }
        let year = isNegative ? -value : value
        return range.contains(year) ? year : nil
    }

    mutating func read(years: ClosedRange<Int>) -> (seconds: Int64, nanoseconds: Int64)? {
        guard let year = year(in: years) else { return nil }
        var month = 1
        var day = 1
        if take("-") {
            guard let value = number(in: 1...12) else { return nil }
            month = value
            if take("-") {
                guard let value = number(in: 1...31) else { return nil }
                day = value
            }
        }
        var seconds = Self.days(year: year, month: month, day: day) * 86_400
        guard !isAtEnd else { return (seconds, 0) }
        guard take("T") || take("t"), let hour = number(in: 0...23) else { return nil }
        seconds += Int64(hour * 3600)
        var nanoseconds: Int64 = 0
        let hasMinute = take(":")
        if hasMinute {
            guard let minute = number(in: 0...59) else { return nil }
            seconds += Int64(minute * 60)
        }
        if hasMinute, take(":") {
            guard let second = number(in: 0...59) else { return nil }
            seconds += Int64(second)
            if take(".") || take(",") {
                guard let fraction = fraction() else { return nil }
                nanoseconds = fraction
            }
        }
        guard let offset = offset() else { return nil }
        return isAtEnd ? (seconds - offset, nanoseconds) : nil
    }

    private mutating func fraction() -> Int64? {
        var value: Int64 = 0
        var digits = 0
        while index < text.count, let digit = decimalDigit(text[index]) {
            if digits < 9 { value = value * 10 + Int64(digit) }
            digits += 1
            index += 1
        }
        guard digits > 0 else { return nil }
        for _ in min(digits, 9)..<9 { value *= 10 }
        return value
    }

    private mutating func offset() -> Int64? {
        if isAtEnd || take("Z") || take("z") { return 0 }
        let isEast = take("+")
        guard isEast || take("-"), let hours = number(in: 0...23) else { return nil }
        _ = take(":")
        let minutes = isAtEnd ? 0 : number(in: 0...59)
        guard let minutes else { return nil }
        let seconds = Int64(hours * 3600 + minutes * 60)
        return isEast ? seconds : -seconds
    }

    /// Days from 1970-01-01 in the proleptic Gregorian calendar. A year is counted from March, so that the leap day
    /// is its last one; 400 years are always 146,097 days.
    private static func days(year: Int, month: Int, day: Int) -> Int64 {
        let shifted = month <= 2 ? year - 1 : year
        let era = (shifted >= 0 ? shifted : shifted - 399) / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * ((month + 9) % 12) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return Int64(era) * 146_097 + Int64(dayOfEra) - 719_468
    }
}

/// An IP address of either version. An IPv4 address in IPv6 clothes (`::ffff:192.0.2.1`) is the IPv4 address.
struct NetworkAddress: Equatable {
    let bits: UInt128
    let width: Int

    init?(_ text: ArraySlice<UInt8>) {
        if let value = Self.version4(text) {
            bits = UInt128(value)
            width = 32
        } else if let value = Self.version6(text) {
            let isMapped = value >> 32 == 0xFFFF
            bits = isMapped ? value & 0xFFFF_FFFF : value
            width = isMapped ? 32 : 128
        } else {
            return nil
        }
    }

    private static func version4(_ text: ArraySlice<UInt8>) -> UInt32? {
        let parts = text.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var value: UInt32 = 0
        for part in parts {
            guard (1...3).contains(part.count) else { return nil }
            var number = 0
            for byte in part {
                guard let digit = decimalDigit(byte) else { return nil }
                number = number * 10 + digit
            }
            guard number <= 255 else { return nil }
            value = value << 8 | UInt32(number)
        }
        return value
    }

    private static func version6(_ text: ArraySlice<UInt8>) -> UInt128? {
        let colon = UInt8(ascii: ":")
        var head: [UInt16] = []
        var tail: [UInt16] = []
        var gap: Int?
        for index in text.indices.dropLast() where text[index] == colon && text[index + 1] == colon {
            guard gap == nil else { return nil }
            gap = index
        }
        if let gap {
            guard let before = groups(text[..<gap], mayEndIn4: false),
                let after = groups(text[(gap + 2)...], mayEndIn4: true)
            else { return nil }
            head = before
            tail = after
            guard head.count + tail.count < 8 else { return nil }
        } else {
            guard let all = groups(text, mayEndIn4: true), all.count == 8 else { return nil }
            head = all
        }
        var value: UInt128 = 0
        for group in head { value = value << 16 | UInt128(group) }
        for _ in (head.count + tail.count)..<8 { value <<= 16 }
        for group in tail { value = value << 16 | UInt128(group) }
        return value
    }

    private static func groups(_ text: ArraySlice<UInt8>, mayEndIn4: Bool) -> [UInt16]? {
        guard !text.isEmpty else { return [] }
        var groups: [UInt16] = []
        let parts = text.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        for (place, part) in parts.enumerated() {
            if mayEndIn4, place == parts.count - 1, part.contains(UInt8(ascii: ".")) {
                guard let value = version4(part) else { return nil }
                groups.append(UInt16(value >> 16))
                groups.append(UInt16(value & 0xFFFF))
                continue
            }
            guard (1...4).contains(part.count),
                let group = UInt16(String(decoding: part, as: UTF8.self), radix: 16), part.first != UInt8(ascii: "+")
            else { return nil }
            groups.append(group)
        }
        return groups.count <= 8 ? groups : nil
    }
}

/// A range of addresses, `192.0.2.0/24`, or a lone address.
struct AddressRange {
    let address: NetworkAddress
    let prefix: Int

    init?(_ text: [UInt8]) {
        let slash = text.firstIndex(of: UInt8(ascii: "/")) ?? text.endIndex
        guard let address = NetworkAddress(text[..<slash]) else { return nil }
        self.address = address
        guard slash < text.endIndex else {
            prefix = address.width
            return
        }
        let digits = text[(slash + 1)...]
        guard (1...3).contains(digits.count), digits.allSatisfy({ decimalDigit($0) != nil }),
            let number = Int(String(decoding: digits, as: UTF8.self))
        else { return nil }
        // A prefix of an IPv4 address in IPv6 clothes counts the 96 bits before it.
        let isMapped = address.width == 32 && text[..<slash].contains(UInt8(ascii: ":"))
        prefix = isMapped ? number - 96 : number
        guard (0...address.width).contains(prefix) else { return nil }
    }

    func contains(_ other: NetworkAddress) -> Bool {
        guard other.width == address.width else { return false }
        guard prefix > 0 else { return true }
        let shift = UInt128(address.width - prefix)
        return other.bits >> shift == address.bits >> shift
    }
}

/// Decodes base64 with its padding; nil if it is none.
func decodedBase64(_ text: [UInt8]) -> [UInt8]? {
    guard text.count % 4 == 0 else { return nil }
    var bytes: [UInt8] = []
    var bits: UInt32 = 0
    var count = 0
    let padding = text.reversed().prefix { $0 == UInt8(ascii: "=") }.count
    guard padding <= 2 else { return nil }
    for byte in text.dropLast(padding) {
        let value: UInt8
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): value = byte - UInt8(ascii: "A")
        case UInt8(ascii: "a")...UInt8(ascii: "z"): value = byte - UInt8(ascii: "a") + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): value = byte - UInt8(ascii: "0") + 52
        case UInt8(ascii: "+"): value = 62
        case UInt8(ascii: "/"): value = 63
        default: return nil
        }
        bits = bits << 6 | UInt32(value)
        count += 6
        if count >= 8 {
            count -= 8
            bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
        }
    }
    return bytes
}

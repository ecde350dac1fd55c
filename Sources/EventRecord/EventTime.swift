// SPDX-License-Identifier: Apache-2.0

/// Event times: whole seconds since 1970-01-01T00:00:00Z, and their text.
///
/// Calendar arithmetic in the proleptic Gregorian calendar without leap seconds ("days from civil", Howard Hinnant,
/// chrono-compatible low-level date algorithms).
package enum EventTime {
    /// Reads `2026-01-31T23:59:59[.fraction](Z|+hh:mm|-hh:mm)`; a fraction is dropped. nil for anything else.
    package static func seconds(_ text: UnsafeRawBufferPointer) -> Int64? {
        guard text.count >= 20, text[4] == 0x2D, text[7] == 0x2D, text[10] == 0x54 || text[10] == 0x20,
            text[13] == 0x3A, text[16] == 0x3A,
            let year = number(text, 0, 4), let month = number(text, 5, 2), let day = number(text, 8, 2),
            let hour = number(text, 11, 2), let minute = number(text, 14, 2), let second = number(text, 17, 2),
            (1...12).contains(month), day >= 1, day <= daysOfMonth(month, year), hour < 24, minute < 60, second < 60
        else { return nil }
        let whole = daysFromCivil(year, month, day) * 86400 + Int64(hour * 3600 + minute * 60 + second)
        if text.count == 20, text[19] == 0x5A { return whole }
        var index = 19
        if text[index] == 0x2E {
            index += 1
            let start = index
            while index < text.count, (0x30...0x39).contains(text[index]) { index += 1 }
            guard index > start, index < text.count else { return nil }
        }
        if text[index] == 0x5A { return index + 1 == text.count ? whole : nil }
        guard text[index] == 0x2B || text[index] == 0x2D, index + 6 == text.count, text[index + 3] == 0x3A,
            let hours = number(text, index + 1, 2), let minutes = number(text, index + 4, 2), hours < 24, minutes < 60
        else { return nil }
        let offset = Int64(hours * 3600 + minutes * 60)
        return text[index] == 0x2B ? whole - offset : whole + offset
    }

    /// Reads the same from a text.
    package static func seconds(_ text: String) -> Int64? {
        var text = text
        return text.withUTF8 { seconds(UnsafeRawBufferPointer($0)) }
    }

    /// `2026-01-31T23:59:59Z`; years beyond 0000 to 9999 are held at their ends.
    package static func text(_ seconds: Int64) -> String {
        String(unsafeUninitializedCapacity: 20) { buffer in
            guard let base = buffer.baseAddress else { return 0 }
            write(seconds, to: UnsafeMutableRawPointer(base))
            return 20
        }
    }

    /// Writes the 20 bytes of the text.
    package static func write(_ time: Int64, to out: UnsafeMutableRawPointer) {
        let seconds = min(max(time, -62_167_219_200), 253_402_300_799)
        var days = seconds / 86400
        if seconds % 86400 < 0 { days -= 1 }
        let ofDay = Int(seconds - days * 86400)
        let z = Int(days) + 719_468
        let era = (z >= 0 ? z : z - 146_096) / 146_097
        let dayOfEra = z - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        let month = shifted < 10 ? shifted + 3 : shifted - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        two(year / 100, out, 0)
        two(year % 100, out, 2)
        out.storeBytes(of: 0x2D, toByteOffset: 4, as: UInt8.self)
        two(month, out, 5)
        out.storeBytes(of: 0x2D, toByteOffset: 7, as: UInt8.self)
        two(dayOfYear - (153 * shifted + 2) / 5 + 1, out, 8)
        out.storeBytes(of: 0x54, toByteOffset: 10, as: UInt8.self)
        two(ofDay / 3600, out, 11)
        out.storeBytes(of: 0x3A, toByteOffset: 13, as: UInt8.self)
        two(ofDay % 3600 / 60, out, 14)
        out.storeBytes(of: 0x3A, toByteOffset: 16, as: UInt8.self)
        two(ofDay % 60, out, 17)
        out.storeBytes(of: 0x5A, toByteOffset: 19, as: UInt8.self)
    }

    private static func two(_ value: Int, _ out: UnsafeMutableRawPointer, _ offset: Int) {
        out.storeBytes(of: UInt8(truncatingIfNeeded: 0x30 + value / 10), toByteOffset: offset, as: UInt8.self)
        out.storeBytes(of: UInt8(truncatingIfNeeded: 0x30 + value % 10), toByteOffset: offset + 1, as: UInt8.self)
    }

    private static func number(_ text: UnsafeRawBufferPointer, _ start: Int, _ count: Int) -> Int? {
        var value = 0
        for index in start..<start + count {
            let digit = text[index] &- 0x30
            guard digit < 10 else { return nil }
            value = value * 10 + Int(digit)
        }
        return value
    }

    private static func daysOfMonth(_ month: Int, _ year: Int) -> Int {
        switch month {
        case 2: (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }

    private static func daysFromCivil(_ year: Int, _ month: Int, _ day: Int) -> Int64 {
        let y = month <= 2 ? year - 1 : year
        let era = (y >= 0 ? y : y - 399) / 400
        let yearOfEra = y - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return Int64(era) * 146_097 + Int64(dayOfEra) - 719_468
    }
}

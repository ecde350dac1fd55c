// SPDX-License-Identifier: Apache-2.0

import EventRecord
import Foundation

/// Writes events and counts for people.
enum EventTable {
    /// Lines of events, in columns that are as wide as they usually need to be.
    static let header = row(["TIME", "EVENT", "SOURCE", "USER", "REGION", "ADDRESS", "ERROR"])

    private static let widths = [20, 26, 22, 20, 14, 15, 0]

    static func line(_ event: Event) -> String {
        row([
            event.eventSeconds.map(EventTime.text) ?? "-", event.eventName,
            event.eventSource.replacing(".amazonaws.com", with: ""), event.username ?? "-", event.awsRegion,
            event.text(.sourceIPAddress) ?? "-", event.errorCode ?? "",
        ])
    }

    private static func row(_ cells: [String]) -> String {
        var text = ""
        for (cell, width) in zip(cells, widths) { text += padded(shown(cell), width) + "  " }
        while text.hasSuffix(" ") { text.removeLast() }
        return text
    }

    /// Without what would move a terminal's cursor.
    private static func shown(_ text: String) -> String {
        String(
            String.UnicodeScalarView(text.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7F ? "\u{FFFD}" : $0 }))
    }

    private static func padded(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }

    /// A table of counts with a bar for each row.
    static func counts(_ counts: EventCounts, _ grouping: EventTally.Grouping) -> String {
        let names = (grouping.intervalSeconds == nil ? [] : ["time"]) + grouping.paths.map(\.text)
        let cells = counts.rows.map { row in
            (row.startSeconds.map { [EventTime.text($0)] } ?? [])
                + row.values.map { shown(String(($0 ?? "-").prefix(80))) }
        }
        let numbers = counts.rows.map { String($0.count) }
        var widths = names.map(\.count)
        for line in cells { for (index, cell) in line.enumerated() { widths[index] = max(widths[index], cell.count) } }
        let numberWidth = max(5, numbers.map(\.count).max() ?? 0)
        let largest = counts.rows.map(\.count).max() ?? 1
        var lines: [String] = []
        func line(_ texts: [String], _ number: String, _ bar: String) {
            let left = zip(texts, widths).map { padded($0, $1) }.joined(separator: "  ")
            let space = String(repeating: " ", count: numberWidth - number.count)
            let whole = (left.isEmpty ? "" : left + "  ") + space + number + (bar.isEmpty ? "" : "  " + bar)
            lines.append(whole)
        }
        line(names.map { $0.uppercased() }, "COUNT", "")
        for (index, row) in counts.rows.enumerated() {
            line(cells[index], numbers[index], String(repeating: "#", count: Int(row.count * 40 / max(1, largest))))
        }
        if counts.groups > counts.rows.count {
            lines.append("\(counts.groups - counts.rows.count) further groups; see --top")
        }
        if counts.beyondGroups > 0 { lines.append("\(counts.beyondGroups) events in groups beyond what is kept apart") }
        lines.append("\(counts.total) events in \(counts.groups) groups")
        return lines.joined(separator: "\n")
    }
}

// SPDX-License-Identifier: Apache-2.0

/// The messages of one queue as they stand, in memory; what they say lies in the catalog.
///
/// A message is ready (it can be received), or hidden until a time: delayed before its first receive, in flight after one.
/// All times are milliseconds since 1970. Adding and taking cost the logarithm of the number of hidden messages.
struct QueueLine: Sendable {
    struct Message: Sendable, Equatable {
        let number: UInt64
        let sent: Int64
        var visible: Int64
        var receives = 0
        var received: Int64?
        /// What the receipt handle of the latest receive holds.
        var receipt = ""
        fileprivate var isReady = false

        init(number: UInt64, sent: Int64, visible: Int64) {
            self.number = number
            self.sent = sent
            self.visible = visible
        }
    }

    /// What a receive found.
    struct Taken: Sendable {
        /// In flight from now on.
        var live: [Message] = []
        /// Received too often; out of the line.
        var dead: [Message] = []
        /// As they were before.
        var before: [Message] = []
    }

    private(set) var messages: [UInt64: Message] = [:]
    /// Numbers in the order in which they became ready; `head` is the first that counts. Some may be gone.
    private var ready: [UInt64] = []
    private var head = 0
    private var hidden = HiddenMessages()

    mutating func add(_ message: Message) {
        messages[message.number] = message
        messages[message.number]?.isReady = false
        hidden.push(message.visible, message.number)
    }

    mutating func remove(_ number: UInt64) { messages[number] = nil }

    mutating func removeAll() { self = QueueLine() }

    /// Hides the message until a time, or shows it at once.
    mutating func hide(_ number: UInt64, until time: Int64) {
        guard messages[number] != nil else { return }
        messages[number]?.visible = time
        messages[number]?.isReady = false
        hidden.push(time, number)
    }

    /// Puts messages back as they were, after a receive that could not be made durable.
    mutating func restore(_ before: [Message]) {
        for message in before { add(message) }
    }

    /// Takes ready messages, oldest first.
    ///
    /// - Parameters:
    ///   - count: at most so many that live.
    ///   - oldest: messages sent before this time are past their retention, and left to be removed.
    ///   - receivesMax: messages that were received so often already are dead; nil for no bound.
    ///   - receipt: makes what the receipt handles hold.
    mutating func take(
        _ count: Int, now: Int64, hiddenFor milliseconds: Int64, oldest: Int64, receivesMax: Int?,
        receipt: () -> String
    ) -> Taken {
        surface(now)
        var taken = Taken()
        while taken.live.count < count, taken.dead.count < 100, head < ready.count {
            let number = ready[head]
            head += 1
            guard var message = messages[number], message.isReady, message.sent >= oldest else { continue }
            message.isReady = false
            taken.before.append(message)
            if let receivesMax, message.receives >= receivesMax {
                messages[number] = nil
                taken.dead.append(message)
                continue
            }
            message.receives += 1
            message.received = message.received ?? now
            message.receipt = receipt()
            message.visible = now + milliseconds
            messages[number] = message
            hidden.push(message.visible, number)
            taken.live.append(message)
        }
        if head > 1024, head * 2 > ready.count {
            ready.removeFirst(head)
            head = 0
        }
        return taken
    }

    /// When the next hidden message can be received; nil where none is hidden.
    var nextVisible: Int64? { hidden.first }

    /// Makes ready what was hidden until now.
    private mutating func surface(_ now: Int64) {
        while let (time, number) = hidden.pop(until: now) {
            guard let message = messages[number], message.visible == time, !message.isReady else { continue }
            messages[number]?.isReady = true
            ready.append(number)
        }
    }

    /// How many can be received, are in flight, and are delayed.
    func counts(now: Int64, oldest: Int64) -> (visible: Int, inFlight: Int, delayed: Int) {
        var counts = (visible: 0, inFlight: 0, delayed: 0)
        for message in messages.values where message.sent >= oldest {
            if message.isReady || message.visible <= now {
                counts.visible += 1
            } else if message.receives > 0 {
                counts.inFlight += 1
            } else {
                counts.delayed += 1
            }
        }
        return counts
    }

    func expired(before oldest: Int64) -> [UInt64] { messages.values.filter { $0.sent < oldest }.map(\.number) }
}

/// A binary heap of times and numbers, the earliest first.
private struct HiddenMessages: Sendable {
    private var heap: [(time: Int64, number: UInt64)] = []

    var first: Int64? { heap.first?.time }

    mutating func push(_ time: Int64, _ number: UInt64) {
        heap.append((time, number))
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard isBefore(child, parent) else { return }
            heap.swapAt(child, parent)
            child = parent
        }
    }

    mutating func pop(until now: Int64) -> (time: Int64, number: UInt64)? {
        guard let first = heap.first, first.time <= now else { return nil }
        let last = heap.removeLast()
        guard !heap.isEmpty else { return first }
        heap[0] = last
        var parent = 0
        while true {
            var least = parent
            for child in [parent * 2 + 1, parent * 2 + 2] where child < heap.count && isBefore(child, least) {
                least = child
            }
            guard least != parent else { return first }
            heap.swapAt(parent, least)
            parent = least
        }
    }

    private func isBefore(_ a: Int, _ b: Int) -> Bool {
        heap[a].time != heap[b].time ? heap[a].time < heap[b].time : heap[a].number < heap[b].number
    }
}

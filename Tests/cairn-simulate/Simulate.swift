// SPDX-License-Identifier: Apache-2.0
//
// Runs the event path under many seeds, each by itself, and says what happened in them.
//
//     cairn-simulate [--seeds N] [--first N] [--seed N] [--steps N] [--at-once N] [--defect NAME]
//
// `--seed` runs one and prints its steps. Ends with 1 when a rule is broken, and prints the seed.

import EventPathSimulation
import Glibc

struct Failure: Sendable {
    var seed: UInt64
    var reason: String
    var trace: [String]
}

struct Arguments {
    var first: UInt64 = 0
    var seeds: UInt64 = 10_000
    var steps = 50
    var atOnce = 4
    var defect: Defect?
    var isSingle = false

    init(_ words: ArraySlice<String>) {
        var words = words
        while let word = words.popFirst() {
            guard let value = words.popFirst() else { Self.explain() }
            if word == "--defect" {
                guard let named = Defect(rawValue: value) else { Self.explain() }
                defect = named
                continue
            }
            guard let number = UInt64(value) else { Self.explain() }
            switch word {
            case "--seeds": seeds = number
            case "--first": first = number
            case "--seed": (first, seeds, isSingle) = (number, 1, true)
            case "--steps": steps = Int(clamping: number)
            case "--at-once": atOnce = max(1, Int(clamping: number))
            default: Self.explain()
            }
        }
    }

    static func explain() -> Never {
        let names = Defect.allCases.map(\.rawValue).joined(separator: "|")
        print("usage: cairn-simulate [--seeds N] [--first N] [--seed N] [--steps N] [--at-once N] [--defect \(names)]")
        exit(2)
    }
}

@main
struct Simulate {
    static func main() async {
        let arguments = Arguments(CommandLine.arguments.dropFirst())
        var counts = SimulationCounts()
        var failures: [Failure] = []
        var done: UInt64 = 0
        let clock = ContinuousClock()
        let begin = clock.now
        await withTaskGroup(of: (SimulationCounts, Failure?).self) { group in
            var next = arguments.first
            let end = arguments.first + arguments.seeds
            func begin() {
                guard next < end, failures.count < 20 else { return }
                let seed = next
                next += 1
                group.addTask { await run(seed, arguments.steps, arguments.defect, isTold: arguments.isSingle) }
            }
            for _ in 0..<arguments.atOnce { begin() }
            while let (more, failure) = await group.next() {
                counts += more
                done += 1
                if let failure {
                    failures.append(failure)
                    print("seed \(failure.seed): \(failure.reason)")
                }
                if done % 1000 == 0 { print("\(done) seeds") }
                fflush(nil)
                begin()
            }
        }
        let seconds = Double((clock.now - begin).components.seconds)
        let hours = counts.milliseconds / 3_600_000
        let pace = Double(hours) / max(seconds, 1) * 60
        print(
            """
            \(done) seeds, \(counts.steps) steps, \(hours) simulated hours in \(Int(seconds)) s, \(Int(pace)) a minute
            \(counts.events) events, \(counts.logFiles) log files, \(counts.digests) digests; \(counts.seals) seals, \
            \(counts.merges) merges, \(counts.drops) drops
            \(counts.deaths) deaths in the midst of something, \(counts.restarts) restarts, \(counts.powerCuts) power cuts, \
            \(counts.faults) faults, \(counts.jumps) jumps of a clock
            """)
        if failures.isEmpty { return print("every rule held") }
        print("broken under \(failures.count) seeds; run one again: make simulate SEED=\(failures[0].seed)")
        exit(1)
    }

    private static func run(
        _ seed: UInt64, _ steps: Int, _ defect: Defect?, isTold: Bool
    ) async -> (SimulationCounts, Failure?) {
        let simulation: PipelineSimulation
        do {
            simulation = try await PipelineSimulation(seed: seed, defect: defect)
        } catch {
            return (SimulationCounts(), Failure(seed: seed, reason: "cannot begin: \(error)", trace: []))
        }
        do {
            try await simulation.run(steps: steps)
            if isTold { print(simulation.trace.joined(separator: "\n")) }
            return (simulation.counts, nil)
        } catch {
            let trace = simulation.trace
            if isTold { print(trace.joined(separator: "\n")) }
            return (simulation.counts, Failure(seed: seed, reason: "\(error)", trace: trace))
        }
    }
}

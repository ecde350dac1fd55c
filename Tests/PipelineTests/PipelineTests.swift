// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

/// The event path under a seed. A seed that fails gives the same run again: `CAIRN_SIMULATION_SEED=17 swift test --filter
/// PipelineTests`. `CAIRN_SIMULATION_SEEDS` says how many are run (`make simulate`: ten thousand), `CAIRN_SIMULATION_STEPS` how
/// long each is; a seed's first steps are the same, however many follow. A seed that fails prints its steps.
struct PipelineTests {
    private static var seeds: Range<Int> {
        let environment = ProcessInfo.processInfo.environment
        if let seed = environment["CAIRN_SIMULATION_SEED"].flatMap({ Int($0) }) { return seed..<seed + 1 }
        return 0..<(environment["CAIRN_SIMULATION_SEEDS"].flatMap { Int($0) } ?? 200)
    }

    private static let steps =
        ProcessInfo.processInfo.environment["CAIRN_SIMULATION_STEPS"].flatMap { Int($0) } ?? 25

    @Test(arguments: seeds)
    func `whatever fails and whenever power goes, every acknowledged event is there once`(seed: Int) async throws {
        let simulation = try await PipelineSimulation(seed: UInt64(seed))
        try await simulation.run(steps: Self.steps)
    }

    @Test func `a seed gives the same run again`() async throws {
        let first = try await PipelineSimulation(seed: 4711)
        try await first.run(steps: 60)
        let second = try await PipelineSimulation(seed: 4711)
        try await second.run(steps: 60)
        #expect(first.trace == second.trace)
        #expect(first.trace.count > 50)
    }
}

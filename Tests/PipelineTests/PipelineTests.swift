// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

/// The event path under a seed. A seed that fails gives the same run again: `CAIRN_SIMULATION_SEED=17 swift test --filter
/// PipelineTests`. `CAIRN_SIMULATION_SEEDS` says how many are run (`make simulate`: ten thousand).
struct PipelineTests {
    private static var seeds: Range<Int> {
        let environment = ProcessInfo.processInfo.environment
        if let seed = environment["CAIRN_SIMULATION_SEED"].flatMap({ Int($0) }) { return seed..<seed + 1 }
        return 0..<(environment["CAIRN_SIMULATION_SEEDS"].flatMap { Int($0) } ?? 200)
    }

    @Test(arguments: seeds)
    func `whatever fails and whenever power goes, every acknowledged event is there once`(seed: Int) async throws {
        let simulation = try PipelineSimulation(seed: UInt64(seed))
        try await simulation.run(steps: 50)
    }

    @Test func `a seed gives the same run again`() async throws {
        let first = try PipelineSimulation(seed: 4711)
        try await first.run(steps: 60)
        let second = try PipelineSimulation(seed: 4711)
        try await second.run(steps: 60)
        #expect(first.trace == second.trace)
        #expect(first.trace.count > 50)
    }
}

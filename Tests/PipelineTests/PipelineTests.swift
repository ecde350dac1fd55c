// SPDX-License-Identifier: Apache-2.0

import EventPathSimulation
import Foundation
import Testing

/// The event path under a seed; `make simulate` runs ten thousand, and `make simulate SEED=17` one again. A seed's first steps
/// are the same, however many follow. A seed that fails prints its steps.
struct PipelineTests {
    @Test(arguments: 0..<200)
    func `whatever fails and whenever power goes, every acknowledged event is there once`(seed: Int) async throws {
        let simulation = try await PipelineSimulation(seed: UInt64(seed))
        do {
            try await simulation.run(steps: 25)
        } catch {
            Issue.record("\(error); the steps were: \(simulation.trace.joined(separator: "; "))")
        }
    }

    @Test func `a seed gives the same run again`() async throws {
        let first = try await PipelineSimulation(seed: 4711)
        try await first.run(steps: 60)
        let second = try await PipelineSimulation(seed: 4711)
        try await second.run(steps: 60)
        #expect(first.trace == second.trace)
        #expect(first.trace.count > 50)
    }

    @Test(arguments: Defect.allCases)
    func `a mistake that is built in is found`(defect: Defect) async throws {
        var isFound = false
        for seed in 0..<400 where !isFound {
            do {
                try await PipelineSimulation(seed: UInt64(seed), defect: defect).run(steps: 25)
            } catch {
                isFound = true
            }
        }
        #expect(isFound)
    }
}

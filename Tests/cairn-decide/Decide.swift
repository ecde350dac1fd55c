// SPDX-License-Identifier: Apache-2.0
//
// The door through which other engines are compared with this one: reads cases, one JSON object a line, in the form of
// `DecisionCase`, and writes for each line the list of decisions on its requests.
//
//     cairn-decide < CASES > DECISIONS

import Foundation
import Policies
import PolicyCases

@main
struct Decide {
    static func main() {
        do {
            try decideAll()
        } catch {
            FileHandle.standardError.write(Data("cairn-decide: \(error)\n".utf8))
            exit(1)
        }
    }

    static func decideAll() throws {
        while let line = readLine() {
            guard let object = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any] else {
                throw CaseFault("no JSON object: \(line)")
            }
            let answers = try DecisionCase.read(object).map { item in
                let decision = item.decide()
                return ["verdict": decision.verdict.rawValue, "explanation": decision.explanation]
            }
            print(
                String(
                    decoding: try JSONSerialization.data(withJSONObject: answers, options: [.sortedKeys]),
                    as: UTF8.self))
        }
    }
}

// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Raw bytes of files, for what must not be in them.
enum Files {
    static func contents(in folder: String) throws -> [[UInt8]] {
        try FileManager.default.subpathsOfDirectory(atPath: folder).compactMap {
            FileManager.default.contents(atPath: folder + "/" + $0).map(Array.init)
        }
    }

    static func contains(_ bytes: [UInt8], _ part: [UInt8]) -> Bool {
        Data(bytes).range(of: Data(part)) != nil
    }
}

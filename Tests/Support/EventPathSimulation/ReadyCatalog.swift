// SPDX-License-Identifier: Apache-2.0

import AWSWire
import Foundation
import Logging
import Storage
import Trails

/// A catalog with a signing key, made once: a key takes longer to make than a whole simulation.
enum ReadyCatalog {
    static let start: Int64 = 1_795_552_635_500
    static let trail: WireStructure = [
        "Name": "trail", "S3BucketName": "logs", "IsMultiRegionTrail": true, "EnableLogFileValidation": true,
    ]

    static let shared = Task<(bytes: [UInt8], secret: RootSecret), any Error> {
        let folder = SimulationFolder.path + "/cairn-ready-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let catalog = try Catalog(path: folder + "/catalog.sqlite")
        let secret = try RootSecret.open(
            directory: folder + "/keys", mayCreate: true,
            randomBytes: { count in (0..<count).map { _ in UInt8.random(in: 0...255) } })
        let logger = Logger(label: "simulation", factory: { _ in SwiftLogNoOpLogHandler() })
        try await SigningKeys(
            catalog: catalog, secret: secret, clock: { Timestamp(milliseconds: start) }, logger: logger
        ).turn()
        try catalog.close()
        let bytes = try Data(contentsOf: URL(fileURLWithPath: folder + "/catalog.sqlite"))
        return (Array(bytes), secret)
    }
}

/// Where simulations keep their few real files: in memory where there is such a folder.
enum SimulationFolder {
    static let path: String = {
        let memory = "/dev/shm"
        if FileManager.default.isWritableFile(atPath: memory) { return memory }
        return FileManager.default.temporaryDirectory.path
    }()
}

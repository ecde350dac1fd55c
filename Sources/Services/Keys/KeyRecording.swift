// SPDX-License-Identifier: Apache-2.0
//
// What events show of KMS calls. Only what is listed here gets in: plaintexts, ciphertexts and grant tokens are not, so
// that a member nobody thought of stays out. Source: KMS Developer Guide, "Examples of AWS KMS log entries".

internal import AWSWire

enum KeyRecording {
    /// The recorded parameters: these members where the request has them, names with the first letter in lower case.
    /// Maps keep their keys as they are.
    static func members(_ names: String...) -> @Sendable (OperationRequest) -> WireValue {
        { request in
            var shown = WireStructure()
            for name in names {
                guard let value = request.parameters[name], !value.isNull else { continue }
                shown.append(name.firstLowercased, lowered(name, value))
            }
            return shown.isEmpty ? .null : .structure(shown)
        }
    }

    /// CreateKey shows its defaults too.
    @Sendable static func createKey(_ request: OperationRequest) -> WireValue {
        let asked = request.parameters
        let spec: WireValue = asked["KeySpec"] ?? asked["CustomerMasterKeySpec"] ?? "SYMMETRIC_DEFAULT"
        var shown: WireStructure = [
            "description": asked["Description"] ?? "", "origin": asked["Origin"] ?? "AWS_KMS",
            "multiRegion": asked["MultiRegion"] ?? false, "keyUsage": asked["KeyUsage"] ?? "ENCRYPT_DECRYPT",
            "customerMasterKeySpec": spec, "keySpec": spec,
            "bypassPolicyLockoutSafetyCheck": asked["BypassPolicyLockoutSafetyCheck"] ?? false,
        ]
        shown.append("policy", ifPresent: asked["Policy"])
        shown.append("tags", ifPresent: asked["Tags"].map { lowered("Tags", $0) })
        return .structure(shown)
    }

    /// Decrypt, Encrypt and ReEncrypt show the algorithm also where the caller left it out.
    static func use(_ names: String..., algorithms: [String]) -> @Sendable (OperationRequest) -> WireValue {
        { request in
            var shown = WireStructure()
            for name in names {
                guard let value = request.parameters[name], !value.isNull else { continue }
                shown.append(name.firstLowercased, lowered(name, value))
            }
            for name in algorithms {
                shown.append(name.firstLowercased, request.parameters[name] ?? "SYMMETRIC_DEFAULT")
            }
            return .structure(shown)
        }
    }

    private static let maps: Set<String> = [
        "EncryptionContext", "SourceEncryptionContext", "DestinationEncryptionContext", "EncryptionContextEquals",
        "EncryptionContextSubset",
    ]

    private static func lowered(_ name: String, _ value: WireValue) -> WireValue {
        if maps.contains(name) { return value }
        switch value {
        case .structure(let structure):
            return .structure(
                WireStructure(
                    structure.members.map { .init($0.name.firstLowercased, lowered($0.name, $0.value)) }))
        case .list(let items): return .list(items.map { lowered("", $0) })
        default: return value
        }
    }
}

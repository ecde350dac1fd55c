// SPDX-License-Identifier: Apache-2.0

/// A place in the record that the reader finds in its one pass, by the path of AWS's "CloudTrail record contents" page.
///
/// The raw values are part of no format; names are.
package enum EventField: UInt8, Sendable, Hashable, CaseIterable {
    case eventVersion, userIdentity, eventTime, eventSource, eventName, awsRegion, sourceIPAddress, userAgent
    case errorCode, errorMessage, requestParameters, responseElements, additionalEventData, requestID, eventID
    case readOnly, resources, eventType, apiVersion, managementEvent, recipientAccountID, serviceEventDetails
    case sharedEventID, vpcEndpointID, vpcEndpointAccountID, eventCategory, addendum, sessionCredentialFromConsole
    case edgeDeviceDetails, tlsDetails
    case identityType, identityPrincipalID, identityARN, identityAccountID, identityAccessKeyID, identityUserName
    case identityInvokedBy, identityProvider, sessionContext
    case sessionIssuer, sessionAttributes, sessionSourceIdentity
    case issuerType, issuerPrincipalID, issuerARN, issuerAccountID, issuerUserName

    /// The path as AWS writes it: `userIdentity.sessionContext.sessionIssuer.userName`.
    package var path: String {
        switch parent {
        case nil: key
        case .userIdentity: "userIdentity." + key
        case .sessionContext: "userIdentity.sessionContext." + key
        default: "userIdentity.sessionContext.sessionIssuer." + key
        }
    }

    /// The field with that path, if the reader finds it.
    package init?(path: String) {
        guard let field = Self.allCases.first(where: { $0.path == path }) else { return nil }
        self = field
    }

    /// The object that holds the field; nil for the record itself.
    var parent: EventField? {
        switch self {
        case .identityType, .identityPrincipalID, .identityARN, .identityAccountID, .identityAccessKeyID,
            .identityUserName, .identityInvokedBy, .identityProvider, .sessionContext:
            .userIdentity
        case .sessionIssuer, .sessionAttributes, .sessionSourceIdentity: .sessionContext
        case .issuerType, .issuerPrincipalID, .issuerARN, .issuerAccountID, .issuerUserName: .sessionIssuer
        default: nil
        }
    }

    /// The member's own name.
    var key: String {
        switch self {
        case .recipientAccountID: "recipientAccountId"
        case .vpcEndpointID: "vpcEndpointId"
        case .vpcEndpointAccountID: "vpcEndpointAccountId"
        case .identityType, .issuerType: "type"
        case .identityPrincipalID, .issuerPrincipalID: "principalId"
        case .identityARN, .issuerARN: "arn"
        case .identityAccountID, .issuerAccountID: "accountId"
        case .identityAccessKeyID: "accessKeyId"
        case .identityUserName, .issuerUserName: "userName"
        case .identityInvokedBy: "invokedBy"
        case .identityProvider: "identityProvider"
        case .sessionAttributes: "attributes"
        case .sessionSourceIdentity: "sourceIdentity"
        default: "\(self)"
        }
    }
}

/// The member names of one object of the record: which field a name is, told by its length and last bytes.
///
/// Open addressing over 128 slots; built once and never freed.
struct EventKeyTable: @unchecked Sendable {  // guarded by being written only before it is shared
    private struct Entry {
        var code: UInt64 = 0
        var name: UnsafeMutablePointer<UInt8>?
        var count = 0
        var field: EventField = .eventVersion
    }

    private let entries: UnsafeMutablePointer<Entry>
    private static let slots = 128

    init(parent: EventField?) {
        entries = .allocate(capacity: Self.slots)
        entries.initialize(repeating: Entry(), count: Self.slots)
        for field in EventField.allCases where field.parent == parent {
            let utf8 = Array(field.key.utf8)
            let name = UnsafeMutablePointer<UInt8>.allocate(capacity: utf8.count)
            name.initialize(from: utf8, count: utf8.count)
            let code = Self.code(UnsafeRawPointer(name), utf8.count)
            var slot = Self.slot(code)
            while entries[slot].name != nil { slot = (slot + 1) & (Self.slots - 1) }
            entries[slot] = Entry(code: code, name: name, count: utf8.count, field: field)
        }
    }

    static let record = EventKeyTable(parent: nil)
    static let identity = EventKeyTable(parent: .userIdentity)
    static let session = EventKeyTable(parent: .sessionContext)
    static let issuer = EventKeyTable(parent: .sessionIssuer)

    /// The field with exactly these bytes as its name.
    @inline(__always)
    func field(_ name: UnsafeRawPointer, _ count: Int) -> EventField? {
        let code = Self.code(name, count)
        var slot = Self.slot(code)
        while let known = entries[slot].name {
            if entries[slot].code == code, entries[slot].count == count {
                var index = 0
                while index + 8 < count, known[index] == name.load(fromByteOffset: index, as: UInt8.self) { index += 1 }
                if index + 8 >= count { return entries[slot].field }
            }
            slot = (slot + 1) & (Self.slots - 1)
        }
        return nil
    }

    /// The last eight bytes (fewer for shorter names) with the length mixed in.
    @inline(__always)
    private static func code(_ name: UnsafeRawPointer, _ count: Int) -> UInt64 {
        if count >= 8 {
            return name.loadUnaligned(fromByteOffset: count - 8, as: UInt64.self) ^ (UInt64(count) &* 0x9E37_79B1)
        }
        var tail: UInt64 = 0
        for index in 0..<count { tail = tail << 8 | UInt64(name.load(fromByteOffset: index, as: UInt8.self)) }
        return tail ^ (UInt64(count) &* 0x9E37_79B1)
    }

    @inline(__always)
    private static func slot(_ code: UInt64) -> Int {
        Int(truncatingIfNeeded: (code &* 0x9E37_79B1_85EB_CA87) &>> 57)
    }
}

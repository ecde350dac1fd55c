// SPDX-License-Identifier: Apache-2.0

/// One attribute of LookupEvents: what an event is looked up by.
package struct LookupAttribute: Sendable, Hashable {
    /// `AttributeKey` as the API spells it.
    package enum Key: String, Sendable, Hashable, CaseIterable {
        case eventID = "EventId"
        case eventName = "EventName"
        case readOnly = "ReadOnly"
        case username = "Username"
        case resourceType = "ResourceType"
        case resourceName = "ResourceName"
        case eventSource = "EventSource"
        case accessKeyID = "AccessKeyId"
    }

    package var key: Key
    package var value: String

    package init(_ key: Key, _ value: String) {
        self.key = key
        self.value = value
    }

    /// The attribute as a filter. ResourceName takes an ARN, its resource part or its last piece; Username a user's name or
    /// the name of a role's session.
    package var filter: EventFilter { .lookup(self) }
}

extension LookupAttribute {
    func matches(_ fields: EventFields, in record: UnsafeRawBufferPointer) -> Bool {
        switch key {
        case .eventID:
            return EventFilter.compare(.eventID, .equals, value).matches(fields, in: record)
        case .eventName: return fields.withText(.eventName, in: record) { $0?.isEqual(to: value) ?? false }
        case .eventSource: return fields.withText(.eventSource, in: record) { $0?.isEqual(to: value) ?? false }
        case .accessKeyID: return fields.withText(.identityAccessKeyID, in: record) { $0?.isEqual(to: value) ?? false }
        case .username: return fields.withUsername(in: record) { $0?.isEqual(to: value) ?? false }
        case .readOnly: return fields.flag(.readOnly, in: record).map { value == ($0 ? "true" : "false") } ?? false
        case .resourceType:
            var isHit = false
            fields.forEachResource(in: record) { type, _ in
                if !isHit, let type, type.isEqual(to: value) { isHit = true }
            }
            return isHit
        case .resourceName:
            var isHit = false
            fields.forEachResource(in: record) { _, name in
                if !isHit { EventResources.forEachName(name) { if $0.isEqual(to: value) { isHit = true } } }
            }
            return isHit
        }
    }
}

extension LookupAttribute.Key {
    var fieldsNeeded: Set<EventField> {
        switch self {
        case .eventID: [.eventID]
        case .eventName: [.eventName]
        case .readOnly: [.readOnly]
        case .username: [.identityUserName, .identityType, .identityARN, .identityPrincipalID]
        case .resourceType, .resourceName: [.resources, .eventSource, .requestParameters, .responseElements]
        case .eventSource: [.eventSource]
        case .accessKeyID: [.identityAccessKeyID]
        }
    }
}

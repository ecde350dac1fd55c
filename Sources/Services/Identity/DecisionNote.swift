// SPDX-License-Identifier: Apache-2.0
//
// A note as it is kept, one JSON object a line:
//   { "eventID", "requestID", "time": ISO 8601 with milliseconds, "caller": ARN or name, "account": 12 digits or "",
//     "action", "resource", "resourceAccount", "verdict": "allow"|"implicitDeny"|"explicitDeny", "because": text,
//     "policyType"?, "policy"?, "statement"?: from 1, "sid"?,
//     "inForce": { "identity": [name], "boundary"?: name, "session"?: [name], "resource"?: name,
//                  "serviceControl"?: [[name]], "resourceControl"?: [[name]], "damaged"?: [name] },
//     "context": { key in lower case: [value] }, in no order }

package import AWSWire
package import Policies

/// What was decided about one action of one call on one resource, and from what: more than a caller is ever told.
package struct DecisionNote: Sendable {
    package let eventID: String
    package let requestID: String
    package let time: Timestamp
    package let request: AuthorizationRequest
    package let policies: PoliciesInForce
    package let decision: Decision

    package init(_ call: Call, _ request: AuthorizationRequest, _ policies: PoliciesInForce, _ decision: Decision) {
        eventID = call.eventID
        requestID = call.requestID
        time = call.time
        self.request = request
        self.policies = policies
        self.decision = decision
    }

    /// Writes the note as one line, its end included.
    package func append(to out: inout [UInt8]) {
        func text(_ text: String) { WireValue.appendJSONString(text, to: &out) }
        func raw(_ text: StaticString) {
            text.withUTF8Buffer { out.append(contentsOf: $0) }
        }
        func list(_ names: [String]) {
            raw("[")
            for (index, name) in names.enumerated() {
                if index > 0 { raw(",") }
                text(name)
            }
            raw("]")
        }
        func levels(_ controls: ControlPolicies) {
            raw("[")
            for (index, level) in controls.levels.enumerated() {
                if index > 0 { raw(",") }
                list(level.map(\.name))
            }
            raw("]")
        }
        raw("{\"eventID\":")
        text(eventID)
        raw(",\"requestID\":")
        text(requestID)
        raw(",\"time\":")
        text(time.iso8601Milliseconds)
        raw(",\"caller\":")
        text(request.principal.arn)
        raw(",\"account\":")
        text(request.principal.account)
        raw(",\"action\":")
        text(decision.action)
        raw(",\"resource\":")
        text(request.resource)
        raw(",\"resourceAccount\":")
        text(request.resourceAccount)
        raw(",\"verdict\":")
        text(decision.verdict.rawValue)
        raw(",\"because\":")
        text(decision.explanation)
        if let type = decision.policyType {
            raw(",\"policyType\":")
            text(type.rawValue)
        }
        if let statement = decision.statement {
            raw(",\"policy\":")
            text(statement.policy)
            raw(",\"statement\":")
            out.append(contentsOf: String(statement.index + 1).utf8)
            if let sid = statement.sid {
                raw(",\"sid\":")
                text(sid)
            }
        }
        raw(",\"inForce\":{\"identity\":")
        list(policies.identity.map(\.name))
        if let boundary = policies.boundary {
            raw(",\"boundary\":")
            text(boundary.name)
        }
        if let session = policies.session {
            raw(",\"session\":")
            list(session.map(\.name))
        }
        if let resource = policies.resource {
            raw(",\"resource\":")
            text(resource.name)
        }
        if let controls = policies.serviceControl, !controls.isManagementAccount {
            raw(",\"serviceControl\":")
            levels(controls)
        }
        if let controls = policies.resourceControl, !controls.isManagementAccount {
            raw(",\"resourceControl\":")
            levels(controls)
        }
        if !policies.damaged.isEmpty {
            raw(",\"damaged\":")
            list(policies.damaged)
        }
        raw("},\"context\":{")
        var isFirst = true
        request.context.forEach { key, values in
            if !isFirst { raw(",") }
            isFirst = false
            text(key)
            raw(":[")
            for (index, value) in values.enumerated() {
                if index > 0 { raw(",") }
                Self.append(value, to: &out)
            }
            raw("]")
        }
        raw("}}\n")
    }

    /// Appends a value; most are plain ASCII and need neither a text made of them nor an escape.
    private static func append(_ value: [UInt8], to out: inout [UInt8]) {
        let isPlain = value.allSatisfy {
            (0x20..<0x7F).contains($0) && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\")
        }
        guard isPlain else {
            return WireValue.appendJSONString(String(decoding: value, as: UTF8.self), to: &out)
        }
        out.append(UInt8(ascii: "\""))
        out.append(contentsOf: value)
        out.append(UInt8(ascii: "\""))
    }
}

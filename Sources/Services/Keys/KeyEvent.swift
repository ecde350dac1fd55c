// SPDX-License-Identifier: Apache-2.0

package import AWSWire

/// An event that no client's own call stands behind: a service used a key, or KMS itself did something.
package struct KeyEvent: Sendable {
    /// The caller is a service, or the principal for whom a service acted.
    package let call: Call
    /// The service that acted for the caller: `s3.amazonaws.com`.
    package let invokedBy: String?
    package let name: String
    package let requestParameters: WireValue
    package let resources: [ResourceReference]
    package let isReadOnly: Bool
    package let error: AWSError?
    /// Only for what KMS does by itself: the event is then of the type AwsServiceEvent.
    package let serviceEventDetails: WireValue?

    /// - Note: its call has the caller's request id; whoever writes it gives the event an id of its own.
    init(
        use name: String, _ parameters: WireStructure, _ resources: [ResourceReference], _ use: KeyUse,
        _ error: AWSError?
    ) {
        call = use.call
        invokedBy = use.viaService.map { $0.split(separator: ".").first.map { "\($0).amazonaws.com" } ?? $0 }
        self.name = name
        requestParameters = .structure(parameters)
        self.resources = resources
        isReadOnly = true
        self.error = error
        serviceEventDetails = nil
    }

    /// - Note: its call has no ids; whoever writes it gives the event one.
    init(serviceEvent name: String, _ key: KeyRecord, time: Timestamp) {
        call = Call(
            caller: .service("AWS Internal"), accountID: key.account, region: key.region, time: time, requestID: "",
            eventID: "", sourceAddress: "AWS Internal", userAgent: "AWS Internal", isSecureTransport: true)
        invokedBy = nil
        self.name = name
        requestParameters = .null
        resources = [ResourceReference(type: "AWS::KMS::Key", arn: key.arn, accountID: key.account)]
        isReadOnly = false
        error = nil
        serviceEventDetails = .structure(["keyId": .string(key.id)])
    }
}

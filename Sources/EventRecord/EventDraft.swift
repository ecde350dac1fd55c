// SPDX-License-Identifier: Apache-2.0

/// Who made a call, as the record shows it. Members in the documented order of AWS's "CloudTrail userIdentity element" page.
package struct EventIdentity: Sendable, Hashable {
    /// `Root`, `IAMUser`, `AssumedRole`, `FederatedUser`, `AWSAccount`, `AWSService`, `SAMLUser`, `WebIdentityUser`, `Unknown`...
    package var type: String
    package var principalID: String?
    package var arn: String?
    package var accountID: String?
    package var accessKeyID: String?
    package var userName: String?
    package var identityProvider: String?
    /// Only for temporary credentials and sign-in.
    package var session: Session?
    /// A service that acts for the caller, or on its own.
    package var invokedBy: String?

    package init(
        type: String, principalID: String? = nil, arn: String? = nil, accountID: String? = nil,
        accessKeyID: String? = nil, userName: String? = nil, identityProvider: String? = nil, session: Session? = nil,
        invokedBy: String? = nil
    ) {
        self.type = type
        self.principalID = principalID
        self.arn = arn
        self.accountID = accountID
        self.accessKeyID = accessKeyID
        self.userName = userName
        self.identityProvider = identityProvider
        self.session = session
        self.invokedBy = invokedBy
    }

    /// `sessionContext`. Issuer and federation data are written as `{}` where there are none, as CloudTrail does.
    package struct Session: Sendable, Hashable {
        package var issuer: Issuer?
        /// JSON; nil is written as `{}`.
        package var webIDFederation: [UInt8]?
        package var creationSeconds: Int64
        package var isMFAAuthenticated: Bool
        package var sourceIdentity: String?
        /// `1.0` or `2.0`.
        package var ec2RoleDelivery: String?

        package init(
            issuer: Issuer? = nil, webIDFederation: [UInt8]? = nil, creationSeconds: Int64, isMFAAuthenticated: Bool,
            sourceIdentity: String? = nil, ec2RoleDelivery: String? = nil
        ) {
            self.issuer = issuer
            self.webIDFederation = webIDFederation
            self.creationSeconds = creationSeconds
            self.isMFAAuthenticated = isMFAAuthenticated
            self.sourceIdentity = sourceIdentity
            self.ec2RoleDelivery = ec2RoleDelivery
        }
    }

    /// `sessionIssuer`: whose session it is.
    package struct Issuer: Sendable, Hashable {
        package var type: String
        package var principalID: String
        package var arn: String
        package var accountID: String
        /// Nil for root.
        package var userName: String?

        package init(type: String, principalID: String, arn: String, accountID: String, userName: String?) {
            self.type = type
            self.principalID = principalID
            self.arn = arn
            self.accountID = accountID
            self.userName = userName
        }
    }
}

/// One entry of `resources`.
package struct EventResource: Sendable, Hashable {
    package var accountID: String?
    package var type: String
    package var arn: String
    /// Whether the ARN is the beginning of several, as in S3's listings: written as `ARNPrefix`.
    package var isPrefix: Bool

    package init(accountID: String? = nil, type: String, arn: String, isPrefix: Bool = false) {
        self.accountID = accountID
        self.type = type
        self.arn = arn
        self.isPrefix = isPrefix
    }
}

/// `tlsDetails`.
package struct EventTLS: Sendable, Hashable {
    package var version: String?
    package var cipherSuite: String?
    package var clientProvidedHostHeader: String?

    package init(version: String? = nil, cipherSuite: String? = nil, clientProvidedHostHeader: String? = nil) {
        self.version = version
        self.cipherSuite = cipherSuite
        self.clientProvidedHostHeader = clientProvidedHostHeader
    }
}

/// What a record of version 1.11 is written from. Members documented as raw JSON must be well-formed JSON objects; they are
/// copied as they are.
package struct EventDraft: Sendable {
    package var identity: EventIdentity
    /// Seconds since 1970.
    package var eventSeconds: Int64
    package var eventSource: String
    package var eventName: String
    package var awsRegion: String
    package var sourceIPAddress: String
    package var userAgent: String
    package var errorCode: String?
    package var errorMessage: String?
    /// Raw JSON; nil is written as null.
    package var requestParameters: [UInt8]?
    /// Raw JSON; nil is written as null.
    package var responseElements: [UInt8]?
    /// Raw JSON; nil is left out.
    package var additionalEventData: [UInt8]?
    package var requestID: String?
    package var eventID: String
    package var readOnly: Bool
    package var resources: [EventResource]
    package var eventType: String
    package var apiVersion: String?
    package var isManagementEvent: Bool
    package var recipientAccountID: String
    /// Raw JSON; nil is left out.
    package var serviceEventDetails: [UInt8]?
    package var sharedEventID: String?
    package var vpcEndpointID: String?
    package var vpcEndpointAccountID: String?
    package var category: EventCategory
    /// Written as the text `true`; left out when false.
    package var isSessionCredentialFromConsole: Bool
    package var tls: EventTLS?

    package init(
        identity: EventIdentity, eventSeconds: Int64, eventSource: String, eventName: String, awsRegion: String,
        sourceIPAddress: String, userAgent: String, errorCode: String? = nil, errorMessage: String? = nil,
        requestParameters: [UInt8]? = nil, responseElements: [UInt8]? = nil, additionalEventData: [UInt8]? = nil,
        requestID: String?, eventID: String, readOnly: Bool, resources: [EventResource] = [],
        eventType: String = "AwsApiCall", apiVersion: String? = nil, isManagementEvent: Bool = true,
        recipientAccountID: String, serviceEventDetails: [UInt8]? = nil, sharedEventID: String? = nil,
        vpcEndpointID: String? = nil, vpcEndpointAccountID: String? = nil, category: EventCategory = .management,
        isSessionCredentialFromConsole: Bool = false, tls: EventTLS? = nil
    ) {
        self.identity = identity
        self.eventSeconds = eventSeconds
        self.eventSource = eventSource
        self.eventName = eventName
        self.awsRegion = awsRegion
        self.sourceIPAddress = sourceIPAddress
        self.userAgent = userAgent
        self.errorCode = errorCode
        self.errorMessage = errorMessage
        self.requestParameters = requestParameters
        self.responseElements = responseElements
        self.additionalEventData = additionalEventData
        self.requestID = requestID
        self.eventID = eventID
        self.readOnly = readOnly
        self.resources = resources
        self.eventType = eventType
        self.apiVersion = apiVersion
        self.isManagementEvent = isManagementEvent
        self.recipientAccountID = recipientAccountID
        self.serviceEventDetails = serviceEventDetails
        self.sharedEventID = sharedEventID
        self.vpcEndpointID = vpcEndpointID
        self.vpcEndpointAccountID = vpcEndpointAccountID
        self.category = category
        self.isSessionCredentialFromConsole = isSessionCredentialFromConsole
        self.tls = tls
    }
}

// SPDX-License-Identifier: Apache-2.0
//
// A call that a service makes for itself to a resource of a customer: CloudTrail writing a log file into a bucket, S3
// publishing to a topic. Only the resource's own policy, and its organization's, can allow it.
// Source: IAM User Guide, "The confused deputy problem"; CloudTrail User Guide, "Amazon S3 bucket policy for
// CloudTrail".

/// What a service wants to do, and for whom.
package struct ServiceAccess: Sendable {
    /// The service's principal, such as `cloudtrail.amazonaws.com`.
    package var service: String
    package var action: String
    package var resource: String
    package var resourceAccount: String
    /// The resource for which the service acts, such as the trail's ARN.
    package var sourceARN: String?
    /// The account for which the service acts.
    package var sourceAccount: String?
    /// The canned ACL that the call sets, in S3's words.
    package var acl: String?
    /// Further keys, such as `aws:SourceOrgID`.
    package var context: RequestContext

    package init(
        service: String, action: String, resource: String, resourceAccount: String, sourceARN: String? = nil,
        sourceAccount: String? = nil, acl: String? = nil, context: RequestContext = [:]
    ) {
        self.service = service
        self.action = action
        self.resource = resource
        self.resourceAccount = resourceAccount
        self.sourceARN = sourceARN
        self.sourceAccount = sourceAccount
        self.acl = acl
        self.context = context
    }

    /// The question that this access is. Services call over TLS, and say that they are services.
    package var request: AuthorizationRequest {
        let principal = Principal.service(service)
        var keys = RequestContext(principal)
        keys["aws:SecureTransport"] = "true"
        keys["aws:PrincipalServiceNamesList"] = ContextValue(set: [service])
        if let sourceARN { keys["aws:SourceArn"] = ContextValue(sourceARN) }
        if let sourceAccount { keys["aws:SourceAccount"] = ContextValue(sourceAccount) }
        if let acl { keys["s3:x-amz-acl"] = ContextValue(acl) }
        keys.merge(context)
        return AuthorizationRequest(
            principal: principal, action: action, resource: resource, resourceAccount: resourceAccount, context: keys)
    }
}

extension PolicyEvaluation {
    /// Decides what a service does for itself, under the resource's policy and its organization's.
    package static func decide(
        _ access: ServiceAccess, resourcePolicy: PolicyDocument?, resourceControl: ControlPolicies? = nil
    ) -> Decision {
        decide(access.request, PoliciesInForce(resource: resourcePolicy, resourceControl: resourceControl))
    }
}

extension PolicyDocument {
    /// Whether this resource policy lets a service do something.
    package func decide(_ access: ServiceAccess) -> Decision {
        PolicyEvaluation.decide(access, resourcePolicy: self)
    }
}

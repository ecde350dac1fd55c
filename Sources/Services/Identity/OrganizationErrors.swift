// SPDX-License-Identifier: Apache-2.0
//
// Source: Organizations API Reference, the errors of each operation.

internal import AWSWire

extension AWSError {
    private static func organization(_ code: String, _ message: String) -> AWSError { AWSError(code, message) }

    static let noOrganization = organization(
        "AWSOrganizationsNotInUseException", "Your account is not a member of an organization.")
    static let alreadyInOrganization = organization(
        "AlreadyInOrganizationException", "The provided account is already a member of an organization.")
    static let notManagement = organization(
        "AccessDeniedException", "You don't have permissions to access this resource.")
    static let noSuchAccount = organization(
        "AccountNotFoundException", "You specified an account that doesn't exist.")
    static let noSuchUnit = organization(
        "OrganizationalUnitNotFoundException", "You specified an organizational unit that doesn't exist.")
    static let noSuchParent = organization("ParentNotFoundException", "You specified parent that doesn't exist.")
    static let noSuchChild = organization("ChildNotFoundException", "You specified child that doesn't exist.")
    static let noSuchRoot = organization("RootNotFoundException", "You specified a root that doesn't exist.")
    static let noSuchPolicy = organization(
        "PolicyNotFoundException", "You specified a policy that doesn't exist.")
    static let noSuchTarget = organization("TargetNotFoundException", "You specified a target that doesn't exist.")

    static func organizationConflict(_ code: String, _ message: String) -> AWSError { organization(code, message) }

    static func organizationInput(_ message: String) -> AWSError { organization("InvalidInputException", message) }

    /// - Parameter reason: one of the model's `ConstraintViolationExceptionReason`.
    static func organizationLimit(_ message: String, reason: String? = nil) -> AWSError {
        AWSError(
            "ConstraintViolationException", message, details: reason.map { [.init("Reason", .string($0))] } ?? [])
    }
}

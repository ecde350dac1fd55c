// SPDX-License-Identifier: Apache-2.0
//
// Users and roles in the policies of resources. A policy names them by their ARNs and is kept with their unique ids, so that
// nobody inherits rights by taking a deleted user's name; it is shown with the ARNs of those that live, and with the bare ids of
// those that are gone. Source: IAM User Guide, "AWS JSON policy elements: Principal", "IAM role principals".

/// Finds the users and roles that policies name.
package struct PrincipalDirectory: Sendable {
    package enum Place: Sendable, Hashable {
        /// The ARN is none of a user or role: an account's, a session's.
        case elsewhere
        case nobody
        /// The user or role with this id.
        case entity(String)
    }

    /// Where an ARN of a policy leads.
    package let place: @Sendable (_ arn: String) -> Place
    /// The ARN of the living user or role of an id.
    package let arn: @Sendable (_ id: String) -> String?

    package init(
        place: @escaping @Sendable (_ arn: String) -> Place, arn: @escaping @Sendable (_ id: String) -> String?
    ) {
        self.place = place
        self.arn = arn
    }

    /// Takes every ARN as it stands, where nobody is known.
    package static let none = PrincipalDirectory(place: { _ in .elsewhere }, arn: { _ in nil })
}

extension PolicyDocument {
    /// The text with users and roles by their ids.
    ///
    /// - Throws: `PolicyError` of the reason `principal` for a user or role that does not exist.
    package func textToStore(_ directory: PrincipalDirectory) throws(PolicyError) -> [UInt8] {
        var places: [String: PrincipalDirectory.Place] = [:]
        for mention in principals where mention.kind == .aws {
            let place = directory.place(mention.value)
            if place == .nobody {
                throw PolicyError(
                    reason: .principal(kind: mention.kind.rawValue, value: mention.value), kind: kind,
                    position: mention.range.lowerBound, detail: "there is no user or role \(mention.value)")
            }
            places[mention.value] = place
        }
        return text { mention in
            guard mention.kind == .aws, case .entity(let id)? = places[mention.value] else { return nil }
            return id
        }
    }

    /// The text as it is shown, with the ARNs of the users and roles that live.
    package func textToShow(_ directory: PrincipalDirectory) -> [UInt8] {
        text { mention in mention.kind == .aws ? directory.arn(mention.value) : nil }
    }
}

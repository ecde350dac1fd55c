// SPDX-License-Identifier: Apache-2.0
//
// Credentials as the AWS CLI keeps them (AWS CLI User Guide, "Configuration and credential file settings"): sections in
// brackets, one for each profile, in them `aws_access_key_id`, `aws_secret_access_key` and, for temporary ones,
// `aws_session_token`. A line that begins with `#` or `;` is a comment.

package import AWSWire
internal import FoundationEssentials

/// Keys for an S3 endpoint.
package struct S3Credentials: Sendable, Equatable {
    package var accessKeyID: String
    package var secret: SecretKey
    package var sessionToken: SecretKey?

    package init(accessKeyID: String, secret: SecretKey, sessionToken: SecretKey? = nil) {
        self.accessKeyID = accessKeyID
        self.secret = secret
        self.sessionToken = sessionToken
    }

    /// Where keys come from.
    package enum Source: Sendable {
        case given(S3Credentials)
        /// Read for each request, so that keys can be changed without a restart.
        case file(path: String, profile: String)

        /// The keys as they are now.
        ///
        /// - Throws: `credentialsUnavailable`, whose text names the file and never what is in it.
        package func current() throws(S3ClientError) -> S3Credentials {
            switch self {
            case .given(let credentials): return credentials
            case .file(let path, let profile):
                let text: String
                do {
                    text = try String(contentsOfFile: path, encoding: .utf8)
                } catch {
                    throw S3ClientError(
                        .credentialsUnavailable, "the credentials file `\(path)` cannot be read: \(error)")
                }
                guard let credentials = S3Credentials(file: text, profile: profile) else {
                    throw S3ClientError(
                        .credentialsUnavailable,
                        "the credentials file `\(path)` has no profile `\(profile)` with aws_access_key_id and "
                            + "aws_secret_access_key")
                }
                return credentials
            }
        }
    }

    /// - Returns: nil when the file has no such profile with both keys.
    package init?(file: String, profile: String) {
        var section = ""
        var values: [String: String] = [:]
        for line in file.split(whereSeparator: \.isNewline) {
            let line = line.trimmingBlanks
            guard let first = line.first, first != "#", first != ";" else { continue }
            if first == "[", line.last == "]" {
                section = String(line.dropFirst().dropLast().trimmingBlanks)
            } else if section == profile, let mark = line.firstIndex(of: "=") {
                let value = line[line.index(after: mark)...].trimmingBlanks
                values[line[..<mark].trimmingBlanks.lowercased()] = String(value)
            }
        }
        guard let id = values["aws_access_key_id"], !id.isEmpty, let secret = values["aws_secret_access_key"],
            !secret.isEmpty
        else { return nil }
        self.init(
            accessKeyID: id, secret: SecretKey(secret), sessionToken: values["aws_session_token"].map { SecretKey($0) })
    }
}

extension StringProtocol {
    fileprivate var trimmingBlanks: SubSequence {
        var text = self[...]
        while let first = text.first, first.isWhitespace { text = text.dropFirst() }
        while let last = text.last, last.isWhitespace { text = text.dropLast() }
        return text
    }
}

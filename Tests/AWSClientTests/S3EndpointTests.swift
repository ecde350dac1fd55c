// SPDX-License-Identifier: Apache-2.0

import AWSClient
import AWSWire
import Testing

struct S3EndpointTests {
    private func endpoint(_ url: String, _ addressing: S3Endpoint.Addressing = .path) -> S3Endpoint? {
        S3Endpoint(
            name: "e", url: url, region: "us-east-1", addressing: addressing, encryption: .bucketDefault, acl: nil,
            trustedAuthorities: nil)
    }

    @Test(arguments: [
        ("http://a.example", "a.example", false, nil), ("https://a.example/", "a.example", true, nil),
        ("https://a.example:443", "a.example", true, nil), ("http://a.example:443", "a.example", false, 443),
        ("http://127.0.0.1:9000", "127.0.0.1", false, 9000), ("http://[::1]:9000/", "[::1]", false, 9000),
        ("https://[fe80::1]", "[fe80::1]", true, nil), ("https://S3.Example", "s3.example", true, nil),
    ])
    func `a URL names scheme, host and port`(_ url: String, _ host: String, _ isSecure: Bool, _ port: Int?) throws {
        let read = try #require(endpoint(url))
        #expect(read.host == host && read.isSecure == isSecure && read.port == port)
    }

    @Test(arguments: [
        "", "a.example", "ftp://a", "http://", "http:///", "http://a/b", "http://a:0", "http://a:99999", "http://a:b",
        "http://user@a", "http://a?x", "http://a b", "https://[::1", "http://a/b/",
    ])
    func `a URL of another form is refused`(_ url: String) {
        #expect(endpoint(url) == nil)
    }

    @Test func `a bucket stands in the path or before the host`() throws {
        let path = try #require(endpoint("http://a.example:81")).place(of: "logs", key: "x/y z+é")
        #expect(path == ("a.example:81", "/logs/x/y%20z%2B%C3%A9"))
        let virtual = try #require(endpoint("https://a.example", .virtual)).place(of: "logs", key: "x/y")
        #expect(virtual == ("logs.a.example", "/x/y"))
        #expect(try #require(endpoint("https://a.example", .virtual)).place(of: "logs", key: nil).path == "/")
        #expect(try #require(endpoint("https://a.example")).place(of: "logs", key: nil).path == "/logs")
    }

    @Test(arguments: [("http://127.0.0.1", true), ("http://[::1]", true), ("http://a1.example", false)])
    func `an address is told from a name`(_ url: String, _ isAddress: Bool) throws {
        #expect(try #require(endpoint(url)).isAddress == isAddress)
    }
}

struct S3CredentialsTests {
    private static let file = """
        # a comment
        [default]
        aws_access_key_id = AKIDEFAULT
        aws_secret_access_key=secret/with=equals

        [other]
        aws_access_key_id = AKOTHER
        aws_secret_access_key = hidden
        aws_session_token = token
        [half]
        aws_access_key_id = AKHALF
        """

    @Test func `a profile has its own keys`() {
        let standard = S3Credentials(file: Self.file, profile: "default")
        #expect(standard == S3Credentials(accessKeyID: "AKIDEFAULT", secret: SecretKey("secret/with=equals")))
        let other = S3Credentials(file: Self.file, profile: "other")
        #expect(other?.sessionToken?.revealed == "token" && other?.accessKeyID == "AKOTHER")
    }

    @Test(arguments: ["half", "none", ""])
    func `a profile without both keys is none`(_ profile: String) {
        #expect(S3Credentials(file: Self.file, profile: profile) == nil)
    }

    @Test func `no secret is told by a description or a dump`() throws {
        let other = try #require(S3Credentials(file: Self.file, profile: "other"))
        var dumped = ""
        dump(S3Credentials.Source.given(other), to: &dumped)
        for text in ["\(other)", dumped, "\(S3Credentials.Source.given(other))"] {
            #expect(!text.contains("hidden") && !text.contains("token\""), "\(text)")
        }
    }

    @Test func `a file that is not there is named`() {
        let source = S3Credentials.Source.file(path: "/nowhere/at/all", profile: "default")
        #expect {
            _ = try source.current()
        } throws: { error in
            let error = error as? S3ClientError
            return error?.kind == .credentialsUnavailable && error?.message.contains("/nowhere/at/all") == true
        }
    }
}

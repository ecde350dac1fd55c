// SPDX-License-Identifier: Apache-2.0

import Identity
import Testing

struct OneTimeCodeTests {
    // RFC 6238, appendix B, the SHA-1 rows; the last six of the eight digits there.
    @Test(arguments: [
        (Int64(59), "287082"), (1_111_111_109, "081804"), (1_111_111_111, "050471"), (1_234_567_890, "005924"),
        (2_000_000_000, "279037"), (20_000_000_000, "353130"),
    ])
    func `codes are RFC 6238's`(_ seconds: Int64, _ code: String) {
        let seed = Array("12345678901234567890".utf8)
        #expect(OneTimeCode.code(seed, step: seconds / OneTimeCode.stepSeconds) == code)
    }

    @Test func `a password matches its own hash alone`() {
        let hash = PasswordHash("passwd", salt: Array("salt".utf8), rounds: 1)
        #expect(hash.matches("passwd"))
        #expect(!hash.matches("passwe"))
        #expect(!hash.matches(""))
        #expect(!PasswordHash("", salt: Array("salt".utf8), rounds: 1).matches("x"))
        #expect(PasswordHash("passwd", salt: Array("other".utf8), rounds: 1) != hash)
    }
}

// SPDX-License-Identifier: Apache-2.0
//
// Time-based one-time passwords (RFC 6238, on RFC 4226): HMAC-SHA1 of the number of 30-second steps, six digits.
// Seeds are shown in base 32 (RFC 4648, section 6), without padding.

package import AWSWire
internal import Crypto
package import Storage

package enum OneTimeCode {
    package static let stepSeconds: Int64 = 30

    /// The code of a step.
    package static func code(_ seed: [UInt8], step: Int64) -> String {
        let counter = (0..<8).map { UInt8(truncatingIfNeeded: step >> (56 - 8 * $0)) }
        let hash = Array(HMAC<Insecure.SHA1>.authenticationCode(for: counter, using: SymmetricKey(data: seed)))
        let offset = Int(hash[19] & 15)
        var number = UInt32(hash[offset] & 0x7F)
        for byte in hash[(offset + 1)...(offset + 3)] { number = number << 8 | UInt32(byte) }
        let digits = String(number % 1_000_000)
        return String(repeating: "0", count: 6 - digits.count) + digits
    }

    static func base32(_ bytes: [UInt8]) -> String {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".utf8)
        var out: [UInt8] = []
        var bits: UInt32 = 0
        var count = 0
        for byte in bytes {
            bits = bits << 8 | UInt32(byte)
            count += 8
            while count >= 5 {
                count -= 5
                out.append(alphabet[Int(bits >> UInt32(count) & 31)])
            }
        }
        if count > 0 { out.append(alphabet[Int(bits << UInt32(5 - count) & 31)]) }
        return String(decoding: out, as: UTF8.self)
    }

    package static func bytes(base32 text: String) -> [UInt8] {
        var out: [UInt8] = []
        var bits: UInt32 = 0
        var count = 0
        for byte in text.utf8 {
            let value: UInt8
            switch byte {
            case 0x41...0x5A: value = byte - 0x41
            case 0x32...0x37: value = byte - 0x32 + 26
            default: continue
            }
            bits = bits << 5 | UInt32(value)
            count += 5
            if count >= 8 {
                count -= 8
                out.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
            }
        }
        return out
    }
}

extension MFADevice {
    /// - Throws: `InternalFailure` when the seed does not open.
    func seed(_ rootSecret: RootSecret) throws(AWSError) -> [UInt8] {
        do {
            let text = try rootSecret.open(sealedSeed, context: "device/\(serial)")
            return OneTimeCode.bytes(base32: String(decoding: text, as: UTF8.self))
        } catch {
            throw .internalFailure(cause: error.description)
        }
    }
}

extension IdentityStore {
    /// Takes a code of a user's device, once: the step of an accepted code, or an earlier one, is never taken again.
    ///
    /// - Returns: whether the device is the user's and the code is right, one step early or late included.
    package func takeCode(
        _ code: String, serial: String, of user: IdentityEntity, _ rootSecret: RootSecret, now: Timestamp
    ) async throws(AWSError) -> Bool {
        try await change(user.accountID) { account throws(AWSError) in
            guard user.devices.contains(serial), var device = account.device(serial: serial), device.enabled != nil
            else { return false }
            let seed = try device.seed(rootSecret)
            let present = now.seconds / OneTimeCode.stepSeconds
            for step in (present - 1)...(present + 1)
            where step > device.lastStep ?? 0
                && ConstantTime.areEqual(Array(OneTimeCode.code(seed, step: step).utf8), Array(code.utf8))
            {
                device.lastStep = step
                account.put(device)
                return true
            }
            return false
        }
    }
}

// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// Request and event ids, from a buffer of random bytes, so that a call does not pay a system call for each.
package final class Identifiers: Sendable {
    private struct State {
        var bytes: [UInt8] = []
        var index = 0
    }

    private static let bufferBytes = 4096
    private let randomBytes: @Sendable (Int) -> [UInt8]
    private let state = Mutex(State())

    /// - Parameter randomBytes: gives that many bytes from the system's generator.
    package init(randomBytes: @escaping @Sendable (Int) -> [UInt8]) { self.randomBytes = randomBytes }

    private func take<Result>(_ count: Int, _ body: (ArraySlice<UInt8>) -> Result) -> Result {
        state.withLock { state in
            if state.index + count > state.bytes.count {
                state.bytes = randomBytes(Self.bufferBytes)
                state.index = 0
            }
            defer { state.index += count }
            return body(state.bytes[state.index..<state.index + count])
        }
    }

    /// A random UUID, version 4 (RFC 9562), in lower case.
    package func uuid() -> String {
        take(16) { bytes in
            String(unsafeUninitializedCapacity: 36) { out in
                var position = 0
                for (index, byte) in bytes.enumerated() {
                    if index == 4 || index == 6 || index == 8 || index == 10 {
                        out[position] = UInt8(ascii: "-")
                        position += 1
                    }
                    var value = byte
                    if index == 6 { value = value & 0x0F | 0x40 }
                    if index == 8 { value = value & 0x3F | 0x80 }
                    out[position] = hexDigit(value >> 4)
                    out[position + 1] = hexDigit(value & 15)
                    position += 2
                }
                return 36
            }
        }
    }

    /// S3's form of a request id: sixteen capital letters and digits.
    package func storageRequestID() -> String {
        take(16) { bytes in
            String(unsafeUninitializedCapacity: 16) { out in
                for (index, byte) in bytes.enumerated() { out[index] = alphabet32(byte & 31) }
                return 16
            }
        }
    }

    /// S3's `x-amz-id-2`: opaque text; ours is 40 letters and digits.
    package func hostID() -> String {
        take(40) { bytes in
            String(unsafeUninitializedCapacity: 40) { out in
                for (index, byte) in bytes.enumerated() { out[index] = alphabet32(byte & 31) }
                return 40
            }
        }
    }
}

private func hexDigit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x61 + value - 10 }

/// Crockford's base 32 alphabet.
private func alphabet32(_ value: UInt8) -> UInt8 {
    let digits: StaticString = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    return digits.utf8Start[Int(value)]
}

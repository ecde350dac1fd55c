// SPDX-License-Identifier: Apache-2.0
//
// One program for all fuzzers: the first argument names the target, the others are libFuzzer's own.
//
//     cairn-fuzz TARGET [CORPUS...] [-runs=N] [-seed=N] ...
//
// Source: LLVM, "libFuzzer - a library for coverage-guided fuzz testing", LLVMFuzzerRunDriver.

import Glibc

/// A parser, and what must hold whatever bytes it is given.
struct FuzzTarget: Sendable {
    let name: String
    let run: @Sendable (UnsafeRawBufferPointer) -> Void

    static let all = [
        policies, events, documents, filters, journal, history, files, chunked, signatures, forms, xml, json,
    ]

    /// The target that the command line names.
    static let chosen: FuzzTarget = {
        let name = CommandLine.arguments.dropFirst().first ?? ""
        if let found = all.first(where: { $0.name == name }) { return found }
        let names = all.map(\.name).joined(separator: "|")
        say("usage: cairn-fuzz \(names) [CORPUS...] [-runs=N] ...")
        exit(2)
    }()
}

/// A line on standard error.
func say(_ line: String) {
    let bytes = Array((line + "\n").utf8)
    _ = bytes.withUnsafeBytes { write(2, $0.baseAddress, $0.count) }
}

/// Ends the process, which libFuzzer reports with the input that led here.
func require(_ condition: Bool, _ rule: StaticString) {
    guard !condition else { return }
    say("broken rule: \(rule)")
    abort()
}

@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
    _ count: UnsafeMutablePointer<CInt>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>,
    _ callback: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt

@main
struct Fuzz {
    static func main() {
        _ = FuzzTarget.chosen
        let arguments = CommandLine.arguments
        let kept = [arguments[0]] + arguments.dropFirst(2)
        let list = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>.allocate(capacity: kept.count + 1)
        for (index, argument) in kept.enumerated() { list[index] = strdup(argument) }
        list[kept.count] = nil
        var count = CInt(kept.count)
        var pointer = list
        exit(
            runDriver(&count, &pointer) { bytes, size in
                FuzzTarget.chosen.run(UnsafeRawBufferPointer(start: bytes, count: size))
                return 0
            })
    }
}

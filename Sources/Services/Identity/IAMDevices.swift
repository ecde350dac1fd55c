// SPDX-License-Identifier: Apache-2.0

internal import AWSWire
internal import Storage

extension IAMService {
    static let deviceOperations: [Operation<IAMService>] = [
        operation("CreateVirtualMFADevice", .write, on: .newDevice, IAMService.createDevice),
        operation(
            "EnableMFADevice", .write, on: .entity(.user),
            redacted: ["AuthenticationCode1", "AuthenticationCode2"], IAMService.enableDevice),
        operation(
            "ResyncMFADevice", .write, on: .entity(.user),
            redacted: ["AuthenticationCode1", "AuthenticationCode2"], IAMService.resyncDevice),
        operation("DeactivateMFADevice", .write, on: .userOrSelf, IAMService.deactivateDevice),
        operation("DeleteVirtualMFADevice", .write, on: .device, IAMService.deleteDevice),
        operation("ListVirtualMFADevices", .read, on: .nothing, IAMService.listVirtualDevices),
        operation("ListMFADevices", .read, on: .userOrSelf, IAMService.listDevices),
    ]

    private static func noSuchDevice(_ serial: String) -> AWSError {
        .noSuchEntity("VirtualMFADevice with serial number \(serial) doesn't exist.")
    }

    private static let invalidCode = AWSError(
        "InvalidAuthenticationCode", status: 403, "Authentication code for device is not valid.",
        recordedCode: "InvalidAuthenticationCodeException")

    /// The seed is shown this once, also as the QR code that authenticators read; the event has the serial number alone.
    @Sendable func createDevice(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields("VirtualMFADeviceName", "Path", "Tags")
        let name = try fields.requiredName("VirtualMFADeviceName", max: 226)
        let path = try fields.path()
        let seed = OneTimeCode.base32(randomBytes(20))
        let serial = "arn:aws:iam::\(call.accountID):mfa\(path)\(name)"
        let sealed: [UInt8]
        do {
            sealed = try rootSecret.seal(Array(seed.utf8), context: "device/\(serial)")
        } catch {
            throw .internalFailure(cause: error.description)
        }
        var device = MFADevice(
            accountID: call.accountID, name: name, path: path, created: call.time, sealedSeed: sealed)
        device.tags = try fields.tags(ignoringCase: false)
        let new = device
        try await store.change(call.accountID) { account throws(AWSError) in
            guard account.device(serial: serial) == nil else {
                throw .entityExists("MFADevice entity at the same path and name already exists.")
            }
            account.put(new)
        }
        var shown: WireStructure = [
            "SerialNumber": .string(serial), "Base32StringSeed": .string(Base64.encode(Array(seed.utf8))),
        ]
        let owner = store.account(call.accountID).settings.alias ?? call.accountID
        let code = QRCode(Array("otpauth://totp/\(name)@\(owner)?secret=\(seed)".utf8))
        shown.append("QRCodePNG", ifPresent: code.map { .string(Base64.encode($0.png)) })
        return IAMAnswer(
            ["VirtualMFADevice": .structure(shown)],
            recorded: ["VirtualMFADevice": .structure(["SerialNumber": .string(serial)])])
    }

    /// Two codes in a row prove that the device and the seed agree.
    ///
    /// - Throws: `InvalidAuthenticationCode` (403).
    private func step(of device: MFADevice, _ fields: IAMFields, _ call: Call) throws(AWSError) -> Int64 {
        let first = try fields.required("AuthenticationCode1", max: 6, min: 6)
        let second = try fields.required("AuthenticationCode2", max: 6, min: 6)
        let seed = try device.seed(rootSecret)
        let now = call.time.seconds / OneTimeCode.stepSeconds
        // Ten minutes either way, so that a device whose clock is off can be brought in.
        for step in (now - 20)...(now + 20)
        where OneTimeCode.code(seed, step: step) == first && OneTimeCode.code(seed, step: step + 1) == second {
            return step + 1
        }
        throw Self.invalidCode
    }

    @Sendable func enableDevice(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields("UserName", "SerialNumber", "AuthenticationCode1", "AuthenticationCode2")
        let name = try fields.requiredName("UserName", max: 128)
        let serial = try fields.required("SerialNumber", max: 256, min: 9)
        _ = try entity(.user, name, call)
        guard let device = store.account(call.accountID).device(serial: serial) else {
            throw Self.noSuchDevice(serial)
        }
        let step = try step(of: device, fields, call)
        try await change(.user, name, call) { user, account throws(AWSError) in
            guard var device = account.device(serial: serial) else { throw Self.noSuchDevice(serial) }
            guard device.enabled == nil else {
                throw .entityExists("MFA Device is already in use. Please choose a different device.")
            }
            guard user.devices.count < Limits.devicesPerUser else {
                throw .limitExceeded("MFADevicesPerUser", Limits.devicesPerUser)
            }
            user.devices.append(serial)
            device.enabled = call.time
            device.userName = user.name
            device.lastStep = step
            account.put(device)
        }
        return IAMAnswer()
    }

    @Sendable func resyncDevice(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields("UserName", "SerialNumber", "AuthenticationCode1", "AuthenticationCode2")
        let name = try fields.requiredName("UserName", max: 128)
        let serial = try fields.required("SerialNumber", max: 256, min: 9)
        let user = try entity(.user, name, call)
        guard user.devices.contains(serial), let device = store.account(call.accountID).device(serial: serial) else {
            throw Self.noSuchDevice(serial)
        }
        let step = try step(of: device, fields, call)
        try await store.change(call.accountID) { account throws(AWSError) in
            guard var device = account.device(serial: serial) else { throw Self.noSuchDevice(serial) }
            device.lastStep = step
            account.put(device)
        }
        return IAMAnswer()
    }

    @Sendable func deactivateDevice(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields("UserName", "SerialNumber")
        let serial = try fields.required("SerialNumber", max: 256, min: 9)
        try await change(.user, try userName(fields, call), call) { user, account throws(AWSError) in
            guard user.devices.contains(serial), var device = account.device(serial: serial) else {
                throw Self.noSuchDevice(serial)
            }
            user.devices.removeAll { $0 == serial }
            device.enabled = nil
            device.userName = nil
            account.put(device)
        }
        return IAMAnswer()
    }

    @Sendable func deleteDevice(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let serial = try input.fields("SerialNumber").required("SerialNumber", max: 256, min: 9)
        try await store.change(call.accountID) { account throws(AWSError) in
            guard let device = account.device(serial: serial) else { throw Self.noSuchDevice(serial) }
            guard device.enabled == nil else {
                throw .deleteConflict("MFA VirtualDevice in use. Must deactivate first.")
            }
            account.remove(device)
        }
        return IAMAnswer()
    }

    @Sendable func listVirtualDevices(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields("AssignmentStatus", "Marker", "MaxItems")
        let status = try fields.word("AssignmentStatus", ["Assigned", "Unassigned", "Any"]) ?? "Any"
        let account = store.account(call.accountID)
        let devices = account.devices.values.sorted { $0.serial.lowercased() < $1.serial.lowercased() }
            .filter { status == "Any" || ($0.enabled != nil) == (status == "Assigned") }
        return IAMAnswer(
            try fields.page(devices, by: \.serial, "VirtualMFADevices") { device in
                var members: WireStructure = ["SerialNumber": .string(device.serial)]
                if let user = device.userName.flatMap({ account.entity(.user, named: $0) }) {
                    members.append("User", Self.shape(user, isFull: false))
                }
                members.append("EnableDate", ifPresent: device.enabled.map { .timestamp($0) })
                return .structure(members)
            })
    }

    @Sendable func listDevices(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields("UserName", "Marker", "MaxItems")
        let user = try entity(.user, try userName(fields, call), call)
        let account = store.account(call.accountID)
        return IAMAnswer(
            try fields.page(user.devices.sorted(), by: { $0 }, "MFADevices") { serial in
                var members: WireStructure = ["UserName": .string(user.name), "SerialNumber": .string(serial)]
                members.append(
                    "EnableDate", ifPresent: account.device(serial: serial)?.enabled.map { .timestamp($0) })
                return .structure(members)
            })
    }
}

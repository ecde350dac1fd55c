// SPDX-License-Identifier: Apache-2.0

internal import AWSWire

extension IAMService {
    static let deviceTagOperations: [Operation<IAMService>] = [
        operation("GetMFADevice", .read, on: .device, IAMService.getDevice),
        operation("TagMFADevice", .write, on: .device, IAMService.tagDevice),
        operation("UntagMFADevice", .write, on: .device, IAMService.untagDevice),
        operation("ListMFADeviceTags", .read, on: .device, IAMService.listDeviceTags),
    ]

    private func device(_ fields: IAMFields, _ call: Call) throws(AWSError) -> MFADevice {
        let serial = try fields.required("SerialNumber", max: 256, min: 9)
        guard let device = store.account(call.accountID).device(serial: serial) else { throw Self.noDevice(serial) }
        return device
    }

    private static func noDevice(_ serial: String) -> AWSError {
        .noSuchEntity("VirtualMFADevice with serial number \(serial) doesn't exist.")
    }

    @Sendable func getDevice(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields("SerialNumber", "UserName")
        let device = try device(fields, call)
        if let name = try fields.name("UserName", max: 128), name != device.userName {
            throw Self.noDevice(device.serial)
        }
        var members: WireStructure = ["SerialNumber": .string(device.serial)]
        members.append("UserName", ifPresent: device.userName.map { .string($0) })
        members.append("EnableDate", ifPresent: device.enabled.map { .timestamp($0) })
        return IAMAnswer(members)
    }

    private func changeTags(
        _ serial: String, _ call: Call,
        _ body: @escaping @Sendable (inout [IdentityEntity.Tag]) throws(AWSError) -> Void
    ) async throws(AWSError) -> IAMAnswer {
        try await store.change(call.accountID) { account throws(AWSError) in
            guard var device = account.device(serial: serial) else { throw Self.noDevice(serial) }
            try body(&device.tags)
            account.put(device)
        }
        return IAMAnswer()
    }

    @Sendable func tagDevice(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields("SerialNumber", "Tags")
        let new = try fields.tags(ignoringCase: false)
        return try await changeTags(try device(fields, call).serial, call) { tags throws(AWSError) in
            try Self.merge(new, into: &tags, ignoringCase: false)
        }
    }

    @Sendable func untagDevice(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields("SerialNumber", "TagKeys")
        let keys = Set(try fields.tagKeys())
        return try await changeTags(try device(fields, call).serial, call) { tags throws(AWSError) in
            tags.removeAll { keys.contains($0.key) }
        }
    }

    @Sendable func listDeviceTags(_ input: IAMRequest, _ call: Call) async throws(AWSError) -> IAMAnswer {
        let fields = try input.fields("SerialNumber", "Marker", "MaxItems")
        return IAMAnswer(try Self.tagPage(try device(fields, call).tags, fields))
    }
}

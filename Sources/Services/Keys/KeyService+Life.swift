// SPDX-License-Identifier: Apache-2.0

package import AWSWire

// States, deletion and rotation; and the chore that carries out what is due.
extension KeyService {
    private static let day: Int64 = 86_400_000
    /// An automatic rotation that is this close counts as one under way.
    private static let rotationNear: Int64 = 20 * 60 * 1000

    @Sendable func enableKey(_ input: KeyInput, _ call: Call) async throws(AWSError) -> EmptyOutput {
        try await change(input.key, call, action: "EnableKey") { key throws(AWSError) in
            try key.checkNotPendingDeletion()
            key.state = .enabled
        }
        return EmptyOutput()
    }

    @Sendable func disableKey(_ input: KeyInput, _ call: Call) async throws(AWSError) -> EmptyOutput {
        try await change(input.key, call, action: "DisableKey") { key throws(AWSError) in
            try key.checkNotPendingDeletion()
            try key.checkIsCustomers()
            key.state = .disabled
        }
        return EmptyOutput()
    }

    @Sendable func scheduleKeyDeletion(
        _ input: ScheduleKeyDeletionInput, _ call: Call
    ) async throws(AWSError) -> ScheduleKeyDeletionOutput {
        let now = clock().milliseconds
        let key = try await change(input.key, call, action: "ScheduleKeyDeletion") { key throws(AWSError) in
            try key.checkNotPendingDeletion()
            try key.checkIsCustomers()
            key.state = .pendingDeletion
            key.deletionDays = input.days
            key.deletion = now + input.days * Self.day
        }
        return ScheduleKeyDeletionOutput(key: key)
    }

    @Sendable func cancelKeyDeletion(_ input: KeyInput, _ call: Call) async throws(AWSError) -> KeyOutput {
        let key = try await change(input.key, call, action: "CancelKeyDeletion") { key throws(AWSError) in
            guard key.state == .pendingDeletion else { throw .keyNotPendingDeletion(key.arn) }
            key.state = .disabled
            key.deletion = nil
            key.deletionDays = nil
        }
        return KeyOutput(arn: key.arn)
    }

    // MARK: Rotation

    @Sendable func enableKeyRotation(
        _ input: EnableKeyRotationInput, _ call: Call
    ) async throws(AWSError) -> EmptyOutput {
        let now = clock().milliseconds
        try await change(input.key, call, action: "EnableKeyRotation") { key throws(AWSError) in
            try key.checkUsable()
            try key.checkIsCustomers()
            key.rotationDays = input.days
            key.nextRotation = now + input.days * Self.day
        }
        return EmptyOutput()
    }

    @Sendable func disableKeyRotation(_ input: KeyInput, _ call: Call) async throws(AWSError) -> EmptyOutput {
        try await change(input.key, call, action: "DisableKeyRotation") { key throws(AWSError) in
            try key.checkUsable()
            try key.checkIsCustomers()
            key.rotationDays = nil
            key.nextRotation = nil
        }
        return EmptyOutput()
    }

    @Sendable func getKeyRotationStatus(_ input: KeyInput, _ call: Call) async throws(AWSError) -> ListOutput {
        let key = try await target(input.key, "GetKeyRotationStatus", call)
        let isOn = key.rotationDays != nil && key.state != .pendingDeletion
        var members: WireStructure = ["KeyId": .string(key.id), "KeyRotationEnabled": .bool(isOn)]
        if isOn {
            members.append("RotationPeriodInDays", ifPresent: key.rotationDays.map { .integer($0) })
            members.append(
                "NextRotationDate", ifPresent: key.nextRotation.map { .timestamp(Timestamp(milliseconds: $0)) })
        }
        return ListOutput(members: members)
    }

    @Sendable func rotateKeyOnDemand(_ input: KeyInput, _ call: Call) async throws(AWSError) -> KeyOutput {
        let key = try await target(input.key, "RotateKeyOnDemand", call)
        try key.checkUsable()
        try key.checkIsCustomers()
        guard key.onDemandRotations < Limits.onDemandRotations else {
            throw .keyLimit("The key has been rotated on demand \(Limits.onDemandRotations) times, which is the most.")
        }
        if let next = key.nextRotation, next - clock().milliseconds < Self.rotationNear {
            throw .conflict("An automatic rotation of \(key.arn) is due within 20 minutes.")
        }
        guard try await rotate(key, "ON_DEMAND") else {
            throw .conflict("Another rotation of \(key.arn) is in progress.")
        }
        return KeyOutput(arn: key.arn)
    }

    @Sendable func listKeyRotations(_ input: KeyPageInput, _ call: Call) async throws(AWSError) -> ListOutput {
        let key = try await target(try input.required, "ListKeyRotations", call)
        try key.checkNotPendingDeletion()
        let shown = key.materials.filter { input.includesMaterials || $0.rotation != nil }
        let page = Page(shown, input.page) { Self.sortable($0.number) }
        return ListOutput(
            members: page.members("Rotations") { material in
                var members: WireStructure = [
                    "KeyId": .string(key.id), "KeyMaterialId": .string(material.id),
                ]
                if input.includesMaterials {
                    let isCurrent = material.number == key.current?.number
                    members.append("KeyMaterialState", isCurrent ? "CURRENT" : "NON_CURRENT")
                }
                if let rotation = material.rotation {
                    members.append("RotationDate", .timestamp(Timestamp(milliseconds: material.made)))
                    members.append("RotationType", .string(rotation))
                }
                return .structure(members)
            })
    }

    private static func sortable(_ number: UInt32) -> String {
        let text = String(number)
        return String(repeating: "0", count: 10 - text.count) + text
    }

    /// Adds a material, unless another rotation or change of state came first.
    ///
    /// - Returns: whether it did.
    private func rotate(_ key: KeyRecord, _ kind: String) async throws(AWSError) -> Bool {
        let material = try await makeMaterial(for: key, rotation: kind)
        let rotated = try await table.change {
            content throws(AWSError) -> (changes: [KeyChange], result: KeyRecord?) in
            guard var current = content.keys[key.id], current.current?.number == key.current?.number,
                current.state == .enabled
            else { return ([], nil) }
            current.materials.append(material)
            if kind == "AUTOMATIC", let days = current.rotationDays {
                current.nextRotation = material.made + days * Self.day
            }
            return ([.key(current)], current)
        }
        guard let rotated else { return false }
        try await record(KeyEvent(serviceEvent: "RotateKey", rotated, time: Timestamp(milliseconds: material.made)))
        return true
    }

    // MARK: The chore

    /// Carries out the rotations and deletions that are due. May be repeated at any time.
    package func turn() async throws(AWSError) {
        let now = clock().milliseconds
        let due = table.read { content in
            content.keys.values.filter { key in
                switch key.state {
                case .enabled: key.nextRotation.map { $0 <= now } ?? false
                case .pendingDeletion: key.deletion.map { $0 <= now } ?? false
                case .disabled: false
                }
            }
        }
        for key in due.sorted(by: { $0.id < $1.id }) {
            if key.state == .enabled {
                _ = try await rotate(key, "AUTOMATIC")
            } else {
                try await delete(key, now: now)
            }
        }
    }

    /// Deletes the key with its materials, aliases and grants, unless its deletion was cancelled.
    private func delete(_ key: KeyRecord, now: Int64) async throws(AWSError) {
        let isGone = try await table.change { content throws(AWSError) -> (changes: [KeyChange], result: Bool) in
            guard let current = content.keys[key.id], current.state == .pendingDeletion,
                let deletion = current.deletion, deletion <= now
            else { return ([], false) }
            var changes: [KeyChange] = [.noKey(key.id)]
            for alias in content.aliases.values where alias.target == key.id { changes.append(.noAlias(alias.arn)) }
            for id in (content.grants[key.id] ?? [:]).keys { changes.append(.noGrant(keyID: key.id, id: id)) }
            return (changes, true)
        }
        if isGone { try await record(KeyEvent(serviceEvent: "DeleteKey", key, time: Timestamp(milliseconds: now))) }
    }

    /// Turns once a minute until it is cancelled.
    ///
    /// - Parameters:
    ///   - sleep: waits that many milliseconds.
    ///   - report: takes what went wrong; the next turn is the retry.
    package func run(
        sleep: @Sendable (Int64) async throws -> Void, report: @Sendable (AWSError) -> Void
    ) async {
        while !Task.isCancelled {
            do throws(AWSError) { try await turn() } catch { report(error) }
            do { try await sleep(60_000) } catch { return }
        }
    }
}

extension KeyRecord {
    /// A key that a service made for the account is not its owner's to manage.
    func checkIsCustomers() throws(AWSError) {
        guard manager == "CUSTOMER" else {
            throw .unsupported("The key \(arn) is managed by AWS; this operation is for customer managed keys.")
        }
    }
}

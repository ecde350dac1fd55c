// SPDX-License-Identifier: Apache-2.0
//
// Object Lock. Source: S3 User Guide, "Locking objects with Object Lock"; Amazon S3 API Reference, PutObjectRetention,
// PutObjectLegalHold, PutObjectLockConfiguration.

internal import AWSWire
internal import Storage

/// Object Lock of a bucket, which once on is never off.
struct ObjectLockSetting: Sendable, Equatable {
    enum Period: Sendable, Equatable {
        case days(Int64)
        case years(Int64)

        func end(after time: Timestamp) -> Timestamp {
            switch self {
            case .days(let count): return time.adding(seconds: count * 86_400)
            case .years(let count):
                let c = CalendarTime(time)
                // The 29th of February becomes the 28th where the year has none.
                return Timestamp(
                    year: c.year + Int(count), month: c.month, day: c.day, hour: c.hour, minute: c.minute,
                    second: c.second)
                    ?? Timestamp(
                        year: c.year + Int(count), month: c.month, day: 28, hour: c.hour, minute: c.minute,
                        second: c.second) ?? time.adding(seconds: count * 365 * 86_400)
            }
        }
    }

    struct Default: Sendable, Equatable {
        var mode: ObjectLock.Mode
        var period: Period
    }

    /// What a version gets that is put without a retention of its own.
    var byDefault: Default?

    var stored: WireValue {
        var fields = WireStructure()
        if let byDefault {
            fields.append("mode", .string(byDefault.mode.rawValue))
            switch byDefault.period {
            case .days(let count): fields.append("days", .integer(count))
            case .years(let count): fields.append("years", .integer(count))
            }
        }
        return .structure(fields)
    }

    init(byDefault: Default? = nil) { self.byDefault = byDefault }

    init?(stored: WireValue) {
        guard let fields = stored.asStructure else { return nil }
        guard let text = fields["mode"]?.asString else { return }
        guard let mode = ObjectLock.Mode(rawValue: text) else { return nil }
        if let days = fields.integer("days") {
            byDefault = Default(mode: mode, period: .days(days))
        } else if let years = fields.integer("years") {
            byDefault = Default(mode: mode, period: .years(years))
        } else {
            return nil
        }
    }
}

extension ObjectLock {
    /// - Throws: `AccessDenied` (403) while a hold or a retention protects the version.
    func checkDeletion(now: Timestamp, isBypassing: Bool) throws(AWSError) {
        let isRetained = retention.map { $0.until > now && !($0.mode == .governance && isBypassing) } ?? false
        guard isRetained || legalHold == true else { return }
        throw .objectAccessDenied("Access Denied because object protected by object lock.")
    }

    /// - Throws: `AccessDenied` (403) where the present retention does not allow the new one.
    func checkChange(to wanted: Retention?, now: Timestamp, isBypassing: Bool) throws(AWSError) {
        guard let present = retention, present.until > now else { return }
        if present.mode == .governance, isBypassing { return }
        let isKept = wanted.map { $0.until >= present.until && $0.mode == present.mode } ?? false
        let isHardened = wanted.map { $0.until >= present.until && $0.mode == .compliance } ?? false
        guard isKept || isHardened else {
            throw .objectAccessDenied("Access Denied because object protected by object lock.")
        }
    }
}

extension BucketSettings {
    /// The record, with the bucket's default retention where it has none of its own.
    func lockedByDefault(_ record: ObjectRecord, now: Timestamp) -> ObjectRecord {
        guard record.lock.retention == nil, let rule = objectLock?.byDefault else { return record }
        var record = record
        record.lock.retention = ObjectLock.Retention(mode: rule.mode, until: rule.period.end(after: now))
        return record
    }
}

extension ObjectService {
    private static func traits(
        _ category: OperationTraits.Category, _ iamAction: String? = nil
    ) -> OperationTraits {
        OperationTraits(category: category, iamAction: iamAction, recordsAnswer: false, recordsResources: true)
    }

    static let lockOperations: [Operation<ObjectService>] = [
        Operation(
            "GetObjectLockConfiguration", .read, traits(.management, "GetBucketObjectLockConfiguration"),
            on: bucketResource, recorded: ObjectRecording.parameters,
            perform: ObjectService.getObjectLockConfiguration),
        Operation(
            "PutObjectLockConfiguration", .write, traits(.management, "PutBucketObjectLockConfiguration"),
            on: bucketResource, recorded: ObjectRecording.parameters(document: "ObjectLockConfiguration"),
            perform: ObjectService.putObjectLockConfiguration),
        Operation(
            "GetObjectRetention", .read, traits(.data), on: objectResource, recorded: ObjectRecording.parameters,
            perform: ObjectService.getObjectRetention),
        Operation(
            "PutObjectRetention", .write, traits(.data), on: objectResource,
            recorded: ObjectRecording.parameters(document: "Retention"), perform: ObjectService.putObjectRetention),
        Operation(
            "GetObjectLegalHold", .read, traits(.data), on: objectResource, recorded: ObjectRecording.parameters,
            perform: ObjectService.getObjectLegalHold),
        Operation(
            "PutObjectLegalHold", .write, traits(.data), on: objectResource,
            recorded: ObjectRecording.parameters(document: "LegalHold"), perform: ObjectService.putObjectLegalHold),
    ]

    /// Checks the lock that a new object asks for.
    ///
    /// - Parameter isChecked: whether the request carries a checksum, without which no lock is given.
    /// - Throws: `InvalidRequest` (400), `InvalidArgument` (400).
    func check(_ lock: ObjectLock, of bucket: BucketRecord, isChecked: Bool) throws(AWSError) {
        guard lock != ObjectLock() else { return }
        guard bucket.settings.objectLock != nil else { throw .missingLockConfiguration }
        guard isChecked else {
            throw .invalidRequest(
                "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock "
                    + "parameters")
        }
        if let retention = lock.retention { try checkFuture(retention) }
    }

    private func checkFuture(_ retention: ObjectLock.Retention) throws(AWSError) {
        guard retention.until > now else {
            throw .invalidArgument(
                "The retain until date must be in the future!", name: "x-amz-object-lock-retain-until-date",
                value: retention.until.iso8601)
        }
    }

    // MARK: The bucket's

    func getObjectLockConfiguration(_ input: BucketInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        let bucket = try bucket(input.place, call)
        guard let setting = bucket.settings.objectLock else {
            throw .notConfigured(
                "ObjectLockConfigurationNotFoundError", "Object Lock configuration does not exist for this bucket",
                bucket.name)
        }
        var document: WireStructure = ["ObjectLockEnabled": "Enabled"]
        if let byDefault = setting.byDefault {
            var retention: WireStructure = ["Mode": .string(byDefault.mode.rawValue)]
            switch byDefault.period {
            case .days(let count): retention.append("Days", .integer(count))
            case .years(let count): retention.append("Years", .integer(count))
            }
            document.append("Rule", .structure(["DefaultRetention": .structure(retention)]))
        }
        return ObjectAnswer(body: .xml(root: "ObjectLockConfiguration", document))
    }

    /// - Throws: `InvalidBucketState` (409) for a bucket without versions.
    func putObjectLockConfiguration(
        _ input: SettingInput<ObjectLockSetting>, _ call: Call
    ) async throws(AWSError) -> ObjectAnswer {
        try await change(input.place, call) { (settings) throws(AWSError) in
            guard settings.versioning == .enabled else {
                throw AWSError(
                    "InvalidBucketState", status: 409,
                    "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration")
            }
            settings.objectLock = input.value
        }
        return ObjectAnswer()
    }

    // MARK: An object's

    func getObjectRetention(_ input: VersionInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        let record = try await lockable(input, call)
        guard let retention = record.lock.retention else { throw .noObjectLock(input.place.key) }
        return ObjectAnswer(
            body: .xml(
                root: "Retention",
                ["Mode": .string(retention.mode.rawValue), "RetainUntilDate": .timestamp(retention.until)]))
    }

    func putObjectRetention(_ input: RetentionInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        if let retention = input.retention { try checkFuture(retention) }
        let now = now
        try await changeLock(input.version, call) { (lock) throws(AWSError) in
            try lock.checkChange(to: input.retention, now: now, isBypassing: input.isBypassing)
            lock.retention = input.retention
        }
        return ObjectAnswer()
    }

    func getObjectLegalHold(_ input: VersionInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        let record = try await lockable(input, call)
        guard let hold = record.lock.legalHold else { throw .noObjectLock(input.place.key) }
        return ObjectAnswer(body: .xml(root: "LegalHold", ["Status": .string(hold ? "ON" : "OFF")]))
    }

    func putObjectLegalHold(_ input: LegalHoldInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        try await changeLock(input.version, call) { (lock) throws(AWSError) in lock.legalHold = input.isOn }
        return ObjectAnswer()
    }

    private func lockable(_ input: VersionInput, _ call: Call) async throws(AWSError) -> ObjectRecord {
        let bucket = try bucket(input.place.place, call)
        guard bucket.settings.objectLock != nil else { throw .missingLockConfiguration }
        return try await catalog.read { (snapshot) throws(AWSError) in
            try snapshot.readableObject(bucket, input.place.key, version: input.version)
        }
    }

    private func changeLock(
        _ input: VersionInput, _ call: Call,
        _ body: @escaping @Sendable (inout ObjectLock) throws(AWSError) -> Void
    ) async throws(AWSError) {
        let bucket = try bucket(input.place.place, call)
        guard bucket.settings.objectLock != nil else { throw .missingLockConfiguration }
        _ = try await changeRecord(bucket, input) { (record) throws(AWSError) in try body(&record.lock) }
    }

    /// Changes what is kept about a version, in one transaction.
    ///
    /// - Returns: the record as it is then.
    func changeRecord(
        _ bucket: BucketRecord, _ input: VersionInput, as events: [ObjectEvent] = [], _ cause: NotificationCause? = nil,
        _ body: @escaping @Sendable (inout ObjectRecord) throws(AWSError) -> Void
    ) async throws(AWSError) -> ObjectRecord {
        let now = now
        let key = input.place.key
        return try await catalog.write { (transaction) throws(AWSError) -> ObjectRecord in
            let bucket = try transaction.bucket(bucket.name)
            var record = try transaction.readableObject(bucket, key, version: input.version)
            let isCurrent = try transaction.currentObject(bucket.name, key)?.order == record.order
            try body(&record)
            let change = VersionChange(transaction, bucket: bucket, key: key, now: now, random: [])
            try change.replace(record, isCurrent: isCurrent)
            if let cause {
                for event in events {
                    try transaction.note(event, record, key: key, in: bucket, cause, at: now)
                }
            }
            return record
        }
    }
}

/// A call that names a version of an object and nothing else.
struct VersionInput: OperationInput {
    let place: ObjectPlace
    /// Nil: the current one.
    let version: String?

    init(_ request: OperationRequest) throws(AWSError) {
        place = try ObjectPlace(request)
        let headers = RequestHeaders(request.http)
        try headers.refuseUnbuilt()
        version = headers.version
    }
}

struct RetentionInput: OperationInput {
    let version: VersionInput
    /// Nil: to be removed.
    let retention: ObjectLock.Retention?
    let isBypassing: Bool

    init(_ request: OperationRequest) throws(AWSError) {
        version = try VersionInput(request)
        isBypassing =
            RequestHeaders(request.http).value("x-amz-bypass-governance-retention")?.lowercased() == "true"
        let fields = try DocumentFields(request, root: "Retention", known: ["Mode", "RetainUntilDate"])
        let mode = try fields.text("Mode")
        let until = try fields.text("RetainUntilDate")
        guard let mode, let until else {
            guard mode == nil, until == nil else { throw .malformedDocument() }
            retention = nil
            return
        }
        guard let known = ObjectLock.Mode(rawValue: mode), let time = Timestamp(iso8601: until) else {
            throw .malformedDocument()
        }
        retention = ObjectLock.Retention(mode: known, until: time)
    }
}

struct LegalHoldInput: OperationInput {
    let version: VersionInput
    let isOn: Bool

    init(_ request: OperationRequest) throws(AWSError) {
        version = try VersionInput(request)
        let fields = try DocumentFields(request, root: "LegalHold", known: ["Status"])
        switch try fields.requiredText("Status") {
        case "ON": isOn = true
        case "OFF": isOn = false
        default: throw .malformedDocument()
        }
    }
}

extension ObjectLockSetting: SettingDocument {
    static let daysMax: Int64 = 36_500
    static let yearsMax: Int64 = 100

    static func read(_ request: OperationRequest) throws(AWSError) -> Self {
        let fields = try DocumentFields(
            request, root: "ObjectLockConfiguration", known: ["ObjectLockEnabled", "Rule"])
        guard try fields.text("ObjectLockEnabled") == "Enabled" else { throw .malformedDocument() }
        guard let rule = try fields.fields("Rule", known: ["DefaultRetention"]) else { return Self() }
        guard let retention = try rule.fields("DefaultRetention", known: ["Mode", "Days", "Years"]),
            let mode = ObjectLock.Mode(rawValue: try retention.requiredText("Mode"))
        else { throw .malformedDocument() }
        let days = try retention.integer("Days")
        let years = try retention.integer("Years")
        guard (days == nil) != (years == nil) else { throw .malformedDocument() }
        let count = days ?? years ?? 0
        guard count > 0 else {
            throw .invalidArgument(
                "Default retention period must be a positive integer value.", name: days == nil ? "Years" : "Days",
                value: String(count))
        }
        guard count <= (days == nil ? yearsMax : daysMax) else {
            throw .invalidArgument(
                "Default retention period too large.", name: days == nil ? "Years" : "Days", value: String(count))
        }
        return Self(byDefault: Default(mode: mode, period: days.map { .days($0) } ?? .years(count)))
    }
}

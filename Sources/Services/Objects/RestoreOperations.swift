// SPDX-License-Identifier: Apache-2.0
//
// Source: Amazon S3 API Reference, RestoreObject; S3 User Guide, "Restoring an archived object".

internal import AWSWire
internal import Storage
internal import Synchronization

extension ObjectService {
    static let restoreOperations: [Operation<ObjectService>] = [
        Operation(
            "RestoreObject", .write,
            OperationTraits(category: .data, recordsAnswer: false, recordsResources: true), on: objectResource,
            recorded: ObjectRecording.parameters(document: "RestoreRequest"), perform: ObjectService.restoreObject)
    ]

    /// Makes an archived object readable for some days. The bytes never left, so the restore is done at once, whatever
    /// the tier; until when the copy may be read is counted as at S3: to the midnight after the days have passed.
    ///
    /// - Throws: `InvalidObjectState` (403) for a class that is not archived.
    func restoreObject(_ input: RestoreInput, _ call: Call) async throws(AWSError) -> ObjectAnswer {
        let bucket = try bucket(input.version.place.place, call)
        let now = now
        let day: Int64 = 86_400
        let end = now.adding(seconds: input.days * day).seconds
        let until = Timestamp(seconds: (end + day - 1) / day * day)
        let wasRestored = Mutex(false)
        let record = try await changeRecord(
            bucket, input.version, as: [.restoreBegun, .restored], NotificationCause(call)
        ) { (record) throws(AWSError) in
            guard record.storageClass.isArchive else {
                var error = AWSError.invalidObjectState(record.storageClass)
                error.message = "Restore is not allowed for the object's current storage class"
                throw error
            }
            guard input.tier != "Expedited" || record.storageClass != .deepArchive else {
                throw .invalidArgument(
                    "Retrieval option is not supported by this storage class", name: "Tier", value: input.tier)
            }
            let isRestored = record.restoredUntil.map { $0 > now } ?? false
            wasRestored.withLock { $0 = isRestored }
            record.restoredUntil = until
        }
        return ObjectAnswer(
            status: wasRestored.withLock { $0 } ? 200 : 202, headers: Self.versionHeaders(record, bucket))
    }
}

struct RestoreInput: OperationInput {
    let version: VersionInput
    let days: Int64
    let tier: String

    /// - Throws: `MalformedXML` (400), `InvalidArgument` (400), `NotImplemented` (501) for what selects or writes elsewhere.
    init(_ request: OperationRequest) throws(AWSError) {
        version = try VersionInput(request)
        let unbuilt = ["Type", "SelectParameters", "OutputLocation", "Description"]
        let fields = try DocumentFields(
            request, root: "RestoreRequest", known: ["Days", "GlacierJobParameters", "Tier"] + unbuilt)
        for name in unbuilt where fields.has(name) { throw .notImplemented(member: name) }
        guard let days = try fields.integer("Days") else { throw .malformedDocument() }
        guard (1...36_500).contains(days) else {
            throw .invalidArgument("Days must be between 1 and 36500", name: "Days", value: String(days))
        }
        self.days = days
        let job = try fields.fields("GlacierJobParameters", known: ["Tier"])
        let ofJob = try job?.text("Tier")
        let ofRequest = try fields.text("Tier")
        tier = ofJob ?? ofRequest ?? "Standard"
        guard ["Standard", "Bulk", "Expedited"].contains(tier) else { throw .malformedDocument() }
    }
}

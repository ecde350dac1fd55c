// SPDX-License-Identifier: Apache-2.0

import EventRecord

extension FuzzTarget {
    /// The reader of one record, and all that is asked of a record that was read.
    static let events = FuzzTarget(name: "events") { input in
        let bytes = Array(input)
        let event: Event
        do throws(EventError) {
            event = try Event(bytes)
        } catch {
            return require((0...max(bytes.count, 0)).contains(error.offset), "a fault lies in the record")
        }
        for field in EventField.allCases {
            let span = event.fields[field]
            require(!span.isPresent || span.range.upperBound <= bytes.count, "a field lies in the record")
            _ = event.text(field)
            _ = event.json(field)
            _ = event.flag(field)
        }
        require(!event.eventID.isEmpty, "every event has an id")
        _ = event.username
        _ = event.category
        _ = event.lookupResources
        for filter in sampleFilters { _ = filter.matches(event) }
        bytes.withUnsafeBytes { raw in
            _ = event.fields.eventIDHash(in: raw)
            event.fields.forEachResourceHash(in: raw) { _ in }
            var tally = EventTally(.init(paths: samplePaths, intervalSeconds: 3600))
            tally.add(event.fields, in: raw)
            require(tally.total == 1, "one event counts once")
        }
    }

    /// The finder of records in log files, lists and lines: what import reads.
    static let documents = FuzzTarget(name: "documents") { input in
        let contents = EventDocument.records(in: input)
        var end = 0
        for record in contents.records {
            require(record.lowerBound >= end && record.upperBound <= input.count, "records follow each other")
            end = record.upperBound
            _ = try? EventReader.scan(UnsafeRawBufferPointer(rebasing: input[record]))
        }
        for failure in contents.failures {
            require((0...input.count).contains(failure.offset), "a fault lies in the document")
        }
    }

    /// The filter language, and filters at work.
    static let filters = FuzzTarget(name: "filters") { input in
        let text = String(decoding: input, as: UTF8.self)
        _ = try? FilterLanguage.path(text)
        _ = FilterTime.range(text, now: 1_800_000_000)
        guard let filter = try? FilterLanguage.parse(text, now: 1_800_000_000) else { return }
        for event in sampleEvents {
            require(filter.matches(event) == filter.matches(event), "a filter answers the same each time")
        }
        _ = filter.fieldsNeeded
        _ = filter.timeBounds
        var bytes: [UInt8] = []
        filter.encode(into: &bytes)
        require(!bytes.isEmpty, "a filter has a form")
    }

    private static let sampleEvents: [Event] = [
        #"{"eventVersion":"1.11","eventTime":"2026-05-01T12:00:00Z","eventName":"GetObject","eventSource":"s3.amazonaws.com","awsRegion":"us-east-1","sourceIPAddress":"203.0.113.7","userIdentity":{"type":"IAMUser","userName":"bob","accountId":"111111111111","sessionContext":{"attributes":{"mfaAuthenticated":"false"}}},"requestParameters":{"bucketName":"b","n":17,"deep":{"a":[1,2,{"x":"y"}]}},"resources":[{"type":"AWS::S3::Object","ARN":"arn:aws:s3:::b/k"}],"readOnly":true,"eventID":"01234567-89ab-cdef-0123-456789abcdef"}"#,
        #"{"eventName":"x\u00e9\ud83d\ude00","errorCode":null,"requestParameters":[]}"#, "{}",
    ].compactMap { try? Event(Array($0.utf8)) }

    private static let sampleFilters: [EventFilter] = [
        #"eventName = "GetObject" AND errorCode EXISTS"#, #"sourceIPAddress = "203.0.113.0/24""#,
        #"NOT userIdentity.userName = "b*""#, #"requestParameters.n > 10 OR readOnly = true"#,
    ].compactMap { try? FilterLanguage.parse($0, now: 1_800_000_000) }

    private static let samplePaths = [EventPath(.eventName), EventPath(["requestParameters", "bucketName"])]
}

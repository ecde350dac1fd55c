// SPDX-License-Identifier: Apache-2.0
//
// The record as CloudTrail writes it: version 1.11, members in the order of its delivered files, no white space. Limits by
// AWS's pages "CloudTrail record contents" and "Quotas": four texts are cut at 1 KB, parameters and answers over 100 KB and
// additional data over 28 KB are replaced, a record stays within 256 KB. Nothing is left out silently: whatever was replaced
// leaves its SHA-256, size and head in `additionalEventData.omittedByCairn`.

/// Writes records from drafts into one buffer.
package enum EventWriter {
    /// Bounds of a record, in bytes of UTF-8 (texts) or of JSON (values).
    package enum Limits {
        /// userAgent, errorCode, errorMessage, requestID: cut, ending in `...`.
        package static let textBytesMax = 1024
        /// Every other text; AWS gives no bound, an ARN of S3 needs 1 KB and a bit.
        package static let otherTextBytesMax = 2048
        /// requestParameters, responseElements, serviceEventDetails.
        package static let parametersBytesMax = 102_400
        /// additionalEventData.
        package static let additionalBytesMax = 28_672
        package static let recordBytesMax = 262_144
        /// Bytes kept of a value that was left out.
        package static let headBytesMax = 1024
    }

    /// The record's JSON.
    package static func record(_ draft: EventDraft) -> [UInt8] { write(draft, header: nil) }

    /// A whole journal entry: the envelope's header and the record, in one buffer.
    ///
    /// - Parameter ownerAccount: 12 digits.
    package static func entry(
        _ draft: EventDraft, kind: EventEnvelope.Kind, ownerAccount: String, related: UInt64 = 0
    ) -> [UInt8] {
        precondition(EventEnvelope.isAccount(ownerAccount), "an owner account has 12 digits, not `\(ownerAccount)`")
        return write(draft, header: Header(kind: kind, owner: ownerAccount, related: related))
    }

    private struct Header {
        var kind: EventEnvelope.Kind
        var owner: String
        var related: UInt64
        var bytes: Int { EventEnvelope.headerBytes }
    }

    private static func write(_ draft: EventDraft, header: Header?) -> [UInt8] {
        let headerBytes = header?.bytes ?? 0
        if isWithin(draft) {
            let bytes = writeAsIs(draft, header: header)
            if bytes.count - headerBytes <= Limits.recordBytesMax { return bytes }
        }
        var draft = EventOmission.withoutLargeValues(draft)
        var bytes = writeAsIs(draft, header: header)
        while bytes.count - headerBytes > Limits.recordBytesMax, EventOmission.shrink(&draft) {
            bytes = writeAsIs(draft, header: header)
        }
        return bytes
    }

    private static func isWithin(_ draft: EventDraft) -> Bool {
        (draft.requestParameters?.count ?? 0) <= Limits.parametersBytesMax
            && (draft.responseElements?.count ?? 0) <= Limits.parametersBytesMax
            && (draft.serviceEventDetails?.count ?? 0) <= Limits.parametersBytesMax
            && (draft.additionalEventData?.count ?? 0) <= Limits.additionalBytesMax
    }

    private static func writeAsIs(_ draft: EventDraft, header: Header?) -> [UInt8] {
        // The bound is many times what a record takes: only the record is given its own array.
        EventScratch.withBuffer(byteCount: capacity(draft) + (header?.bytes ?? 0)) { base in
            var out = RecordOutput(base: base)
            if let header {
                out.byte(header.kind.rawValue)
                out.raw(header.owner)
                out.word(header.related)
            }
            out.record(draft)
            return Array(UnsafeRawBufferPointer(start: base, count: out.count))
        }
    }

    /// No record needs more: names and punctuation, texts as if every byte were escaped to six, values as they are.
    private static func capacity(_ draft: EventDraft) -> Int {
        var texts = 0
        func add(_ text: String?, _ limit: Int = Limits.otherTextBytesMax) {
            if let text { texts += min(text.utf8.count, limit) }
        }
        let identity = draft.identity
        add(identity.type)
        add(identity.principalID)
        add(identity.arn)
        add(identity.accountID)
        add(identity.accessKeyID)
        add(identity.userName)
        add(identity.identityProvider)
        add(identity.invokedBy)
        var values = 0
        if let session = identity.session {
            values += session.webIDFederation?.count ?? 0
            add(session.sourceIdentity)
            add(session.ec2RoleDelivery)
            if let issuer = session.issuer {
                add(issuer.type)
                add(issuer.principalID)
                add(issuer.arn)
                add(issuer.accountID)
                add(issuer.userName)
            }
        }
        add(draft.eventSource)
        add(draft.eventName)
        add(draft.awsRegion)
        add(draft.sourceIPAddress)
        add(draft.userAgent, Limits.textBytesMax)
        add(draft.errorCode, Limits.textBytesMax)
        add(draft.errorMessage, Limits.textBytesMax)
        add(draft.requestID, Limits.textBytesMax)
        add(draft.eventID)
        add(draft.eventType)
        add(draft.apiVersion)
        add(draft.recipientAccountID)
        add(draft.sharedEventID)
        add(draft.vpcEndpointID)
        add(draft.vpcEndpointAccountID)
        add(draft.tls?.version)
        add(draft.tls?.cipherSuite)
        add(draft.tls?.clientProvidedHostHeader)
        for resource in draft.resources {
            add(resource.accountID)
            add(resource.type)
            add(resource.arn)
        }
        values += draft.requestParameters?.count ?? 0
        values += draft.responseElements?.count ?? 0
        values += draft.additionalEventData?.count ?? 0
        values += draft.serviceEventDetails?.count ?? 0
        return 2048 + draft.resources.count * 64 + texts * 6 + values
    }
}

/// The bytes of one record being written; the buffer behind it is large enough by `EventWriter.capacity`.
private struct RecordOutput {
    let base: UnsafeMutableRawPointer
    var count = 0

    init(base: UnsafeMutableRawPointer) { self.base = base }

    @inline(__always)
    mutating func byte(_ value: UInt8) {
        base.storeBytes(of: value, toByteOffset: count, as: UInt8.self)
        count += 1
    }

    @inline(__always)
    mutating func word(_ value: UInt64) {
        base.storeBytes(of: value.littleEndian, toByteOffset: count, as: UInt64.self)
        count += 8
    }

    @inline(__always)
    mutating func raw(_ text: StaticString) {
        (base + count).copyMemory(from: text.utf8Start, byteCount: text.utf8CodeUnitCount)
        count += text.utf8CodeUnitCount
    }

    @inline(__always)
    mutating func raw(_ text: String) {
        let written = text.withUnsafeUTF8 { source in
            if let start = source.baseAddress { (base + count).copyMemory(from: start, byteCount: source.count) }
            return source.count
        }
        count += written
    }

    @inline(__always)
    mutating func raw(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { source in
            if let start = source.baseAddress { (base + count).copyMemory(from: start, byteCount: source.count) }
        }
        count += bytes.count
    }

    @inline(__always)
    mutating func text(_ text: String, _ limit: Int = EventWriter.Limits.otherTextBytesMax) {
        byte(0x22)
        count += text.withUnsafeUTF8 { source in
            guard source.count > limit else { return JSONText.escape(source, to: base + count) }
            var kept = limit - 3
            while kept > 0, source[kept] & 0xC0 == 0x80 { kept -= 1 }
            let written = JSONText.escape(UnsafeRawBufferPointer(rebasing: source[..<kept]), to: base + count)
            let dots: StaticString = "..."
            (base + count + written).copyMemory(from: dots.utf8Start, byteCount: 3)
            return written + 3
        }
        byte(0x22)
    }

    @inline(__always)
    mutating func member(_ name: StaticString, _ value: String?, _ limit: Int = EventWriter.Limits.otherTextBytesMax) {
        guard let value else { return }
        raw(name)
        text(value, limit)
    }

    mutating func time(_ seconds: Int64) {
        byte(0x22)
        EventTime.write(seconds, to: base + count)
        count += 20
        byte(0x22)
    }

    mutating func record(_ draft: EventDraft) {
        let short = EventWriter.Limits.textBytesMax
        raw("{\"eventVersion\":\"1.11\",\"userIdentity\":")
        identity(draft.identity)
        raw(",\"eventTime\":")
        time(draft.eventSeconds)
        member(",\"eventSource\":", draft.eventSource)
        member(",\"eventName\":", draft.eventName)
        member(",\"awsRegion\":", draft.awsRegion)
        member(",\"sourceIPAddress\":", draft.sourceIPAddress)
        member(",\"userAgent\":", draft.userAgent, short)
        member(",\"errorCode\":", draft.errorCode, short)
        member(",\"errorMessage\":", draft.errorMessage, short)
        raw(",\"requestParameters\":")
        if let value = draft.requestParameters { raw(value) } else { raw("null") }
        raw(",\"responseElements\":")
        if let value = draft.responseElements { raw(value) } else { raw("null") }
        if let value = draft.additionalEventData {
            raw(",\"additionalEventData\":")
            raw(value)
        }
        member(",\"requestID\":", draft.requestID, short)
        member(",\"eventID\":", draft.eventID)
        raw(draft.readOnly ? ",\"readOnly\":true" : ",\"readOnly\":false")
        if !draft.resources.isEmpty { resources(draft.resources) }
        member(",\"eventType\":", draft.eventType)
        member(",\"apiVersion\":", draft.apiVersion)
        raw(draft.isManagementEvent ? ",\"managementEvent\":true" : ",\"managementEvent\":false")
        member(",\"recipientAccountId\":", draft.recipientAccountID)
        if let value = draft.serviceEventDetails {
            raw(",\"serviceEventDetails\":")
            raw(value)
        }
        member(",\"sharedEventID\":", draft.sharedEventID)
        member(",\"vpcEndpointId\":", draft.vpcEndpointID)
        member(",\"vpcEndpointAccountId\":", draft.vpcEndpointAccountID)
        member(",\"eventCategory\":", draft.category.rawValue)
        if draft.isSessionCredentialFromConsole { raw(",\"sessionCredentialFromConsole\":\"true\"") }
        if let tls = draft.tls { self.tls(tls) }
        byte(0x7D)
    }

    private mutating func identity(_ identity: EventIdentity) {
        member("{\"type\":", identity.type)
        member(",\"principalId\":", identity.principalID)
        member(",\"arn\":", identity.arn)
        member(",\"accountId\":", identity.accountID)
        member(",\"accessKeyId\":", identity.accessKeyID)
        member(",\"userName\":", identity.userName)
        member(",\"identityProvider\":", identity.identityProvider)
        if let session = identity.session {
            raw(",\"sessionContext\":{\"sessionIssuer\":{")
            if let issuer = session.issuer {
                member("\"type\":", issuer.type)
                member(",\"principalId\":", issuer.principalID)
                member(",\"arn\":", issuer.arn)
                member(",\"accountId\":", issuer.accountID)
                member(",\"userName\":", issuer.userName)
            }
            raw("},\"webIdFederationData\":")
            if let value = session.webIDFederation { raw(value) } else { raw("{}") }
            raw(",\"attributes\":{\"creationDate\":")
            time(session.creationSeconds)
            raw(session.isMFAAuthenticated ? ",\"mfaAuthenticated\":\"true\"}" : ",\"mfaAuthenticated\":\"false\"}")
            member(",\"sourceIdentity\":", session.sourceIdentity)
            member(",\"ec2RoleDelivery\":", session.ec2RoleDelivery)
            byte(0x7D)
        }
        member(",\"invokedBy\":", identity.invokedBy)
        byte(0x7D)
    }

    private mutating func resources(_ resources: [EventResource]) {
        raw(",\"resources\":[")
        for index in resources.indices {
            let resource = resources[index]
            raw(index == 0 ? "{" : ",{")
            if let account = resource.accountID {
                member("\"accountId\":", account)
                byte(0x2C)
            }
            member("\"type\":", resource.type)
            member(resource.isPrefix ? ",\"ARNPrefix\":" : ",\"ARN\":", resource.arn)
            byte(0x7D)
        }
        byte(0x5D)
    }

    private mutating func tls(_ tls: EventTLS) {
        raw(",\"tlsDetails\":{")
        let start = count
        member(",\"tlsVersion\":", tls.version)
        member(",\"cipherSuite\":", tls.cipherSuite)
        member(",\"clientProvidedHostHeader\":", tls.clientProvidedHostHeader)
        if count > start {
            // Whichever member came first has a comma too many before it.
            (base + start).copyMemory(from: base + start + 1, byteCount: count - start - 1)
            count -= 1
        }
        byte(0x7D)
    }
}

extension JSONText {
    /// Appends a text as JSON, quotes included.
    package static func append(_ text: String, to bytes: inout [UInt8]) {
        let quoted = text.withUnsafeUTF8 { source in
            [UInt8](unsafeUninitializedCapacity: source.count * 6 + 2) { buffer, count in
                guard let base = buffer.baseAddress else { return }
                let out = UnsafeMutableRawPointer(base)
                out.storeBytes(of: 0x22, as: UInt8.self)
                count = escape(source, to: out + 1) + 2
                out.storeBytes(of: 0x22, toByteOffset: count - 1, as: UInt8.self)
            }
        }
        bytes.append(contentsOf: quoted)
    }

    /// Writes UTF-8 as it stands inside JSON quotes; at most six bytes for one. Returns the bytes written.
    ///
    /// Eight bytes without a quote, a backslash or a control character are copied at once.
    static func escape(_ source: UnsafeRawBufferPointer, to out: UnsafeMutableRawPointer) -> Int {
        guard let from = source.baseAddress else { return 0 }
        var index = 0
        var written = 0
        while index < source.count {
            if index + 8 <= source.count {
                let word = from.loadUnaligned(fromByteOffset: index, as: UInt64.self)
                let quote = word ^ 0x2222_2222_2222_2222
                let slash = word ^ 0x5C5C_5C5C_5C5C_5C5C
                let found =
                    ((quote &- 0x0101_0101_0101_0101) & ~quote | (slash &- 0x0101_0101_0101_0101) & ~slash
                        | (word &- 0x2020_2020_2020_2020) & ~word) & 0x8080_8080_8080_8080
                if found == 0 {
                    out.storeBytes(of: word, toByteOffset: written, as: UInt64.self)
                    index += 8
                    written += 8
                    continue
                }
            }
            let byte = from.load(fromByteOffset: index, as: UInt8.self)
            index += 1
            let letter: UInt8
            switch byte {
            case 0x22, 0x5C: letter = byte
            case 0x08: letter = 0x62
            case 0x0C: letter = 0x66
            case 0x0A: letter = 0x6E
            case 0x0D: letter = 0x72
            case 0x09: letter = 0x74
            case 0..<0x20:
                let zeros: StaticString = "\\u00"
                (out + written).copyMemory(from: zeros.utf8Start, byteCount: 4)
                out.storeBytes(of: 0x30 + byte >> 4, toByteOffset: written + 4, as: UInt8.self)
                let low = byte & 15
                out.storeBytes(of: low < 10 ? 0x30 + low : 0x57 + low, toByteOffset: written + 5, as: UInt8.self)
                written += 6
                continue
            default:
                out.storeBytes(of: byte, toByteOffset: written, as: UInt8.self)
                written += 1
                continue
            }
            out.storeBytes(of: 0x5C, toByteOffset: written, as: UInt8.self)
            out.storeBytes(of: letter, toByteOffset: written + 1, as: UInt8.self)
            written += 2
        }
        return written
    }
}

// SPDX-License-Identifier: Apache-2.0
//
// A message: what was sent, the digests that SDKs check, and how it lies in the catalog.
// Source: Amazon SQS Developer Guide, "Amazon SQS message metadata" ("Calculating the MD5 message digest for message
// attributes"); Amazon SQS API Reference, SendMessage.
//
//     ("queue-message", QUEUEID, NUMBER)         {"format":1,"id":...,"sent":MS,"sender":...,"visible":MS,"body":...,
//                                                 "attributes":{...},"system":{...},"from":"ARN"}
//     ("queue-message-state", QUEUEID, NUMBER)   {"format":1,"visible":MS,"receives":N,"first":MS,"receipt":"HEX"},
//                                                 from the first receive on
//
// NUMBER has sixteen hexadecimal digits and grows. The first document is sealed under the root secret where the queue says so
// (its first byte is then not `{`).

internal import AWSWire
internal import Crypto
internal import Storage

/// A value that goes with a message beside its body.
struct MessageAttribute: Sendable, Equatable {
    enum Value: Sendable, Equatable {
        case text(String)
        case binary([UInt8])
    }

    /// `String`, `Number` or `Binary`, perhaps with a label after a dot.
    var type: String
    var value: Value

    var byteCount: Int {
        switch value {
        case .text(let text): text.utf8.count
        case .binary(let bytes): bytes.count
        }
    }

    var wire: WireValue {
        switch value {
        case .text(let text): .structure(["StringValue": .string(text), "DataType": .string(type)])
        case .binary(let bytes):
            .structure(["BinaryValue": .string(Base64.encode(bytes)), "DataType": .string(type)])
        }
    }

    /// Reads the form that both services have on the wire; nil where it is not of that form.
    init?(_ wire: WireValue) {
        guard let fields = wire.asStructure, let type = fields["DataType"]?.asString else { return nil }
        self.type = type
        if let text = fields["StringValue"]?.asString {
            value = .text(text)
        } else if let text = fields["BinaryValue"]?.asString, let bytes = Base64.decode(text) {
            value = .binary(bytes)
        } else {
            return nil
        }
    }

    /// What is wrong with it, in the words of both services; nil where nothing is.
    func problem(_ name: String) -> String? {
        let kind = type.split(separator: ".", omittingEmptySubsequences: false).first.map(String.init) ?? ""
        guard ["String", "Number", "Binary"].contains(kind), type.utf8.count <= 256 else {
            return "The message attribute '\(name)' has an invalid message attribute type, the set of supported type "
                + "prefixes is Binary, Number, and String."
        }
        switch value {
        case .text(let text):
            if kind == "Binary" {
                return "The message attribute '\(name)' with type 'Binary' must use field 'Binary'."
            }
            if text.isEmpty { return "The message attribute '\(name)' must contain a non-empty value." }
            if kind == "Number", Double(text) == nil {
                return "Can't cast the value of message (user) attribute '\(name)' to a number."
            }
        case .binary(let bytes):
            if kind != "Binary" {
                return "The message attribute '\(name)' with type '\(kind)' must use field 'String'."
            }
            if bytes.isEmpty { return "The message attribute '\(name)' must contain a non-empty value." }
        }
        return nil
    }

    /// Whether a name may be an attribute's: letters, digits, `_`, `-`, `.`, not reserved.
    static func isName(_ name: String) -> Bool {
        let bytes = Array(name.utf8)
        guard (1...256).contains(bytes.count), bytes.first != UInt8(ascii: "."), bytes.last != UInt8(ascii: "."),
            !name.split(separator: ".", omittingEmptySubsequences: false).contains(""),
            name.split(separator: ".").allSatisfy({ MessagingName.isPlain($0, most: 256) })
        else { return false }
        let lower = name.lowercased()
        return !lower.hasPrefix("aws.") && !lower.hasPrefix("amazon.")
    }
}

extension [String: MessageAttribute] {
    /// The digest that SendMessage answers and clients compute as well; nil for none.
    var digest: String? {
        guard !isEmpty else { return nil }
        var hash = Insecure.MD5()
        func part(_ bytes: some Collection<UInt8>) {
            withUnsafeBytes(of: UInt32(bytes.count).bigEndian) { hash.update(bufferPointer: $0) }
            hash.update(data: Array(bytes))
        }
        for (name, attribute) in sorted(by: { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }) {
            part(name.utf8)
            part(attribute.type.utf8)
            switch attribute.value {
            case .text(let text):
                hash.update(data: [1])
                part(text.utf8)
            case .binary(let bytes):
                hash.update(data: [2])
                part(bytes)
            }
        }
        return hexadecimal(hash.finalize())
    }

    var byteCount: Int { reduce(0) { $0 + $1.key.utf8.count + $1.value.type.utf8.count + $1.value.byteCount } }

    var wire: WireValue {
        .structure(
            WireStructure(sorted { $0.key < $1.key }.map { WireStructure.Member($0.key, $0.value.wire) }))
    }
}

/// What lies in the catalog of a message, whatever happens to it.
struct QueueMessage: Sendable, Equatable {
    var id: String
    /// Milliseconds since 1970.
    var sent: Int64
    /// When it can first be received.
    var visible: Int64
    var sender: String
    var body: String
    var attributes: [String: MessageAttribute] = [:]
    /// System attributes that the sender gives: `AWSTraceHeader`.
    var system: [String: MessageAttribute] = [:]
    /// The ARN of the queue from which it came as a dead letter.
    var deadLetterSource: String?

    var bodyDigest: String { hexadecimal(Insecure.MD5.hash(data: Array(body.utf8))) }

    static func key(_ queue: String, _ number: UInt64) -> CatalogKey {
        CatalogKey("queue-message", queue, keyDigits(number))
    }
    static func stateKey(_ queue: String, _ number: UInt64) -> CatalogKey {
        CatalogKey("queue-message-state", queue, keyDigits(number))
    }
    static let allKeys = CatalogKey.prefix("queue-message")
    static let allStateKeys = CatalogKey.prefix("queue-message-state")

    /// Queue and number of a document's key.
    static func place(_ key: CatalogKey) -> (queue: String, number: UInt64)? {
        let parts = key.components
        guard parts.count == 3, let number = UInt64(parts[2], radix: 16) else { return nil }
        return (parts[1], number)
    }

    /// - Parameter secret: under which it is sealed; nil to leave it in the clear.
    func document(_ queue: String, _ number: UInt64, secret: RootSecret?) throws(AWSError) -> [UInt8] {
        var fields: WireStructure = [
            "format": 1, "id": .string(id), "sent": .integer(sent), "visible": .integer(visible),
            "sender": .string(sender), "body": .string(body),
        ]
        if !attributes.isEmpty { fields.append("attributes", attributes.wire) }
        if !system.isEmpty { fields.append("system", system.wire) }
        fields.append("from", ifPresent: WireValue(deadLetterSource))
        let plain = WireValue.structure(fields).json
        guard let secret else { return plain }
        do throws(RootSecretError) {
            return try secret.seal(plain, context: Self.context(queue, number))
        } catch {
            throw .queueFault("a message could not be sealed: \(error)")
        }
    }

    init(_ document: [UInt8], _ queue: String, _ number: UInt64, secret: RootSecret) throws(AWSError) {
        var plain = document
        if document.first != UInt8(ascii: "{") {
            do throws(RootSecretError) {
                plain = try secret.open(document, context: Self.context(queue, number))
            } catch {
                throw .queueFault("a message could not be opened: \(error)")
            }
        }
        guard let fields = (try? WireValue(json: plain))?.asStructure, fields["format"] == 1,
            let id = fields["id"]?.asString, case .integer(let sent)? = fields["sent"],
            case .integer(let visible)? = fields["visible"], let sender = fields["sender"]?.asString,
            let body = fields["body"]?.asString
        else { throw .queueFault("the catalog's document of message \(number) of queue \(queue) is damaged") }
        self.init(id: id, sent: sent, visible: visible, sender: sender, body: body)
        attributes = Self.attributes(fields["attributes"])
        system = Self.attributes(fields["system"])
        deadLetterSource = fields["from"]?.asString
    }

    init(id: String, sent: Int64, visible: Int64, sender: String, body: String) {
        self.id = id
        self.sent = sent
        self.visible = visible
        self.sender = sender
        self.body = body
    }

    private static func context(_ queue: String, _ number: UInt64) -> String { "queue message \(queue) \(number)" }

    private static func attributes(_ value: WireValue?) -> [String: MessageAttribute] {
        var attributes: [String: MessageAttribute] = [:]
        for member in value?.asStructure?.members ?? [] { attributes[member.name] = MessageAttribute(member.value) }
        return attributes
    }
}

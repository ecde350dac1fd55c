// SPDX-License-Identifier: Apache-2.0
//
// What a look-up counts as an event's resources. First the record's own `resources` (`ARN`, or `ARNPrefix` of S3's listings).
// Many services write none, CloudTrail and IAM among them, and AWS then shows what the parameters name; this table says which
// member names what. A member whose type the record's own resources already have is left out.
//
// Path in the table: the member of `requestParameters` (or of `responseElements`, marked `answer`); with a second name, every
// member of that name anywhere inside it. Texts and lists of texts are taken.

/// The resources of events.
package enum EventResources {
    struct Rule: Sendable {
        var member: StaticString
        var inner: StaticString?
        var isInAnswer: Bool
        var type: StaticString

        init(_ member: StaticString, inner: StaticString? = nil, answer: Bool = false, _ type: StaticString) {
            self.member = member
            self.inner = inner
            isInAnswer = answer
            self.type = type
        }
    }

    struct Rules: Sendable {
        var source: StaticString
        var rules: [Rule]
        var hasAnswerRules: Bool

        init(_ source: StaticString, _ rules: [Rule]) {
            self.source = source
            self.rules = rules
            hasAnswerRules = rules.contains { $0.isInAnswer }
        }
    }

    static let table: [Rules] = [
        Rules(
            "cloudtrail.amazonaws.com",
            [
                Rule("name", "AWS::CloudTrail::Trail"), Rule("trailName", "AWS::CloudTrail::Trail"),
                Rule("trailNameList", "AWS::CloudTrail::Trail"), Rule("resourceId", "AWS::CloudTrail::Trail"),
                Rule("resourceIdList", "AWS::CloudTrail::Trail"),
                Rule("trailARN", answer: true, "AWS::CloudTrail::Trail"), Rule("s3BucketName", "AWS::S3::Bucket"),
                Rule("snsTopicName", "AWS::SNS::Topic"), Rule("kmsKeyId", "AWS::KMS::Key"),
            ]),
        Rules("s3.amazonaws.com", [Rule("bucketName", "AWS::S3::Bucket")]),
        Rules(
            "iam.amazonaws.com",
            [
                Rule("userName", "AWS::IAM::User"), Rule("roleName", "AWS::IAM::Role"),
                Rule("groupName", "AWS::IAM::Group"), Rule("policyArn", "AWS::IAM::Policy"),
                Rule("instanceProfileName", "AWS::IAM::InstanceProfile"), Rule("accessKeyId", "AWS::IAM::AccessKey"),
                Rule("accessKey", inner: "accessKeyId", answer: true, "AWS::IAM::AccessKey"),
            ]),
        Rules(
            "sts.amazonaws.com",
            [
                Rule("roleArn", "AWS::IAM::Role"),
                Rule("assumedRoleUser", inner: "arn", answer: true, "AWS::STS::AssumedRole"),
                Rule("credentials", inner: "accessKeyId", answer: true, "AWS::IAM::AccessKey"),
            ]),
        Rules("kms.amazonaws.com", [Rule("keyId", "AWS::KMS::Key"), Rule("aliasName", "AWS::KMS::Alias")]),
        Rules("secretsmanager.amazonaws.com", [Rule("secretId", "AWS::SecretsManager::Secret")]),
        Rules("lambda.amazonaws.com", [Rule("functionName", "AWS::Lambda::Function")]),
        Rules("dynamodb.amazonaws.com", [Rule("tableName", "AWS::DynamoDB::Table")]),
        Rules("logs.amazonaws.com", [Rule("logGroupName", "AWS::Logs::LogGroup")]),
        Rules(
            "sns.amazonaws.com",
            [Rule("topicArn", "AWS::SNS::Topic"), Rule("topicArn", answer: true, "AWS::SNS::Topic")]),
        Rules(
            "sqs.amazonaws.com",
            [Rule("queueUrl", "AWS::SQS::Queue"), Rule("queueUrl", answer: true, "AWS::SQS::Queue")]),
        Rules(
            "rds.amazonaws.com",
            [
                Rule("dBInstanceIdentifier", "AWS::RDS::DBInstance"),
                Rule("dBSnapshotIdentifier", "AWS::RDS::DBSnapshot"),
                Rule("dBClusterIdentifier", "AWS::RDS::DBCluster"),
            ]),
        Rules(
            "ec2.amazonaws.com",
            [
                Rule("instanceId", "AWS::EC2::Instance"),
                Rule("instancesSet", inner: "instanceId", "AWS::EC2::Instance"),
                Rule("instancesSet", inner: "instanceId", answer: true, "AWS::EC2::Instance"),
                Rule("vpcId", "AWS::EC2::VPC"), Rule("subnetId", "AWS::EC2::Subnet"),
                Rule("groupId", "AWS::EC2::SecurityGroup"), Rule("volumeId", "AWS::EC2::Volume"),
                Rule("snapshotId", "AWS::EC2::Snapshot"), Rule("imageId", "AWS::EC2::Ami"),
                Rule("keyName", "AWS::EC2::KeyPair"), Rule("routeTableId", "AWS::EC2::RouteTable"),
                Rule("internetGatewayId", "AWS::EC2::InternetGateway"), Rule("natGatewayId", "AWS::EC2::NatGateway"),
                Rule("networkInterfaceId", "AWS::EC2::NetworkInterface"),
            ]),
    ]

    /// A name as LookupEvents shows it: of a bucket the bare name, of anything else what the record has.
    static func shownName(
        _ name: UnsafeRawBufferPointer, type: UnsafeRawBufferPointer?
    ) -> UnsafeRawBufferPointer {
        guard let type, type.isEqual(to: "AWS::S3::Bucket") else { return name }
        return resourcePart(ofARN: name) ?? name
    }

    /// Gives each text under which a look-up finds a resource: the whole; of an ARN also the part after the fifth colon
    /// (`role/path/name`, `bucket/key`) and, except for S3, the last piece of that (`name`).
    @inline(__always)
    static func forEachName(_ name: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) -> Void) {
        body(name)
        guard let part = resourcePart(ofARN: name), part.count > 0 else { return }
        body(part)
        let isS3 =
            name.hasPrefix(of: "arn:aws:s3:") || name.hasPrefix(of: "arn:aws-us-gov:s3:")
            || name.hasPrefix(of: "arn:aws-cn:s3:")
        guard !isS3, let cut = part.lastIndex(where: { $0 == 0x2F || $0 == 0x3A }), cut + 1 < part.count else { return }
        body(UnsafeRawBufferPointer(rebasing: part[(cut + 1)...]))
    }

    private static func resourcePart(ofARN name: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        guard name.hasPrefix(of: "arn:") else { return nil }
        var colons = 0
        for index in 0..<name.count where name[index] == 0x3A {
            colons += 1
            if colons == 5 { return UnsafeRawBufferPointer(rebasing: name[(index + 1)...]) }
        }
        return nil
    }
}

extension EventFields {
    /// Gives type (nil where unsaid) and ARN or name of each resource; the same may come twice.
    package func forEachResource(
        in record: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer?, UnsafeRawBufferPointer) -> Void
    ) {
        var ownTypes = TypeSet()
        forEachOwnResource(in: record) { type, arn in
            guard let arn else { return }
            if let type { ownTypes.insert(type) }
            body(type, arn)
        }
        let source = self[.eventSource]
        guard source.length > 2, !source.hasEscapes else { return }
        let text = UnsafeRawBufferPointer(
            rebasing: record[(source.range.lowerBound + 1)..<(source.range.upperBound - 1)])
        guard let index = EventResources.table.firstIndex(where: { text.isEqual(to: $0.source) }) else { return }
        let rules = EventResources.table[index]
        derive(self[.requestParameters], rules.rules, isAnswer: false, ownTypes, in: record, body)
        if rules.hasAnswerRules {
            derive(self[.responseElements], rules.rules, isAnswer: true, ownTypes, in: record, body)
        }
    }

    /// Gives type and ARN (or `ARNPrefix`) of each entry of the record's own `resources`.
    package func forEachOwnResource(
        in record: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer?, UnsafeRawBufferPointer?) -> Void
    ) {
        let span = self[.resources]
        guard span.isPresent, record[Int(span.offset)] == 0x5B else { return }
        JSONWalk.elements(span, in: record) { element in
            var type = JSONSpan.absent
            var arn = JSONSpan.absent
            JSONWalk.members(element, in: record) { name, value in
                if name.isEqual(to: "type") {
                    type = value
                } else if name.isEqual(to: "ARN") || (name.isEqual(to: "ARNPrefix") && !arn.isPresent) {
                    arn = value
                }
            }
            JSONText.withText(type, in: record) { type in
                JSONText.withText(arn, in: record) { body(type, $0) }
            }
        }
    }

    private func derive(
        _ parameters: JSONSpan, _ rules: [EventResources.Rule], isAnswer: Bool, _ ownTypes: TypeSet,
        in record: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer?, UnsafeRawBufferPointer) -> Void
    ) {
        guard parameters.isPresent, record[Int(parameters.offset)] == 0x7B else { return }
        JSONWalk.members(parameters, in: record) { name, value in
            for rule in rules where rule.isInAnswer == isAnswer && name.isEqual(to: rule.member) {
                let type = UnsafeRawBufferPointer(start: rule.type.utf8Start, count: rule.type.utf8CodeUnitCount)
                if ownTypes.contains(type) { continue }
                JSONWalk.texts(value, named: rule.inner, in: record) { body(type, $0) }
            }
        }
    }
}

/// The types of a record's own resources, by hash; the first sixteen different ones. Kept without allocating.
private struct TypeSet {
    private var hashes = InlineArray<16, UInt64>(repeating: 0)
    private var count = 0

    mutating func insert(_ type: UnsafeRawBufferPointer) {
        guard count < 16, !contains(type) else { return }
        hashes[count] = StableHash.xxh64(type)
        count += 1
    }

    func contains(_ type: UnsafeRawBufferPointer) -> Bool {
        guard count > 0 else { return false }
        let hash = StableHash.xxh64(type)
        for index in 0..<count where hashes[index] == hash { return true }
        return false
    }
}

/// Walks into values that were checked when the record was scanned; stops silently at anything unexpected.
enum JSONWalk {
    /// Gives name (escapes resolved) and place of each member of an object.
    static func members(
        _ span: JSONSpan, in record: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer, JSONSpan) -> Void
    ) {
        guard span.isPresent, record[Int(span.offset)] == 0x7B else { return }
        var cursor = JSONCursor(record, at: Int(span.offset) + 1, end: span.range.upperBound)
        while true {
            guard let first = try? cursor.next(), first != 0x7D, let name = try? cursor.key(),
                let value = try? cursor.value()
            else { return }
            JSONText.withText(name, in: record) { text in if let text { body(text, value) } }
            guard let after = try? cursor.next(), after == 0x2C else { return }
            cursor.position += 1
        }
    }

    /// Gives the place of each element of an array.
    static func elements(_ span: JSONSpan, in record: UnsafeRawBufferPointer, _ body: (JSONSpan) -> Void) {
        guard span.isPresent, record[Int(span.offset)] == 0x5B else { return }
        var cursor = JSONCursor(record, at: Int(span.offset) + 1, end: span.range.upperBound)
        while true {
            guard let first = try? cursor.next(), first != 0x5D, let value = try? cursor.value() else { return }
            body(value)
            guard let after = try? cursor.next(), after == 0x2C else { return }
            cursor.position += 1
        }
    }

    /// Gives the texts of a value: itself, or those of a list; with a name, the texts of the members so named inside it.
    static func texts(
        _ value: JSONSpan, named inner: StaticString?, in record: UnsafeRawBufferPointer,
        _ body: (UnsafeRawBufferPointer) -> Void
    ) {
        guard value.isPresent else { return }
        switch record[Int(value.offset)] {
        case 0x22:
            if inner == nil { JSONText.withText(value, in: record) { if let text = $0, !text.isEmpty { body(text) } } }
        case 0x5B: elements(value, in: record) { texts($0, named: inner, in: record, body) }
        case 0x7B:
            guard let inner else { return }
            members(value, in: record) { name, value in
                texts(value, named: name.isEqual(to: inner) ? nil : inner, in: record, body)
            }
        default: return
        }
    }
}

extension UnsafeRawBufferPointer {
    func hasPrefix(of text: StaticString) -> Bool {
        hasPrefix(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }
}

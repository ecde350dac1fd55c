// SPDX-License-Identifier: Apache-2.0

/// CloudTrail records like real ones, the same for a seed everywhere: sixty event names over eight services, users, buckets and
/// addresses distributed after Zipf, 6 % errors, about 1.36 KB each, twenty a second, in the order of time.
///
/// What is random in real records is random here (event, request and host ids, session keys: about 60 bytes of entropy each);
/// what repeats there repeats here (identities with their sessions, user agents, TLS details, resources).
struct EventGenerator {
    static let account = "111122223333"
    static let startSeconds: Int64 = 1_767_225_600  // 2026-01-01T00:00:00Z
    static let perSecond = 20

    private struct User {
        var name: String
        var isRole: Bool
        var id: String
        var session = -1
        var identity: [UInt8] = []
        var key = ""
    }

    private struct Kind {
        var service: String
        var name: String
        var isReadOnly: Bool
        var isData: Bool
    }

    private var random: SplitMix64
    private var users: [User] = []
    private let userRank: Zipf
    private let buckets: [String]
    private let bucketRank: Zipf
    private let addresses: [String]
    private let addressRank: Zipf
    private let agents: [String]
    private let agentRank: Zipf
    private let kinds: [Kind]
    private let kindRank: Zipf
    private(set) var index = 0
    /// Of the last record, for questions about what is in the data.
    private(set) var lastID = ""
    private(set) var lastKey = ""
    private(set) var lastUser = ""
    private(set) var lastResource = ""

    init(seed: UInt64) {
        random = SplitMix64(state: seed)
        var random = SplitMix64(state: seed ^ 0x5DEE_CE66)
        userRank = Zipf(2000, 1.05)
        bucketRank = Zipf(400, 1.1)
        addressRank = Zipf(3000, 1.0)
        agentRank = Zipf(40, 1.2)
        users = (0..<2000).map { rank in
            let isRole = random.below(100) < 45
            return User(
                name: isRole
                    ? "\(Self.teams[rank % 16])-\(Self.jobs[rank / 16 % 16])-\(rank)"
                    : "\(Self.people[rank % 24]).\(rank)",
                isRole: isRole, id: (isRole ? "AROA" : "AIDA") + Self.upper(17, &random))
        }
        buckets = (0..<400).map { "\(Self.teams[$0 % 16])-\(Self.stores[$0 / 16 % 12])-\($0)-eu" }
        addresses = (0..<3000).map { _ in
            "\(11 + random.below(200)).\(random.below(256)).\(random.below(256)).\(1 + random.below(254))"
        }
        agents = (0..<40).map { rank in
            switch rank % 4 {
            case 0:
                "[aws-cli/2.\(13 + rank % 9).\(rank) md/awscrt#0.19.\(rank % 19) ua/2.0 os/linux#6.1.\(rank * 3) lang/python#3.11.\(rank % 9) cfg/retry-mode#standard]"
            case 1:
                "Boto3/1.3\(rank % 9).\(rank) md/Botocore#1.3\(rank % 9).\(rank) ua/2.0 os/linux#5.15.\(rank) lang/python#3.10.12"
            case 2:
                "[aws-sdk-java/2.20.\(rank) Linux/5.10.\(rank) Java/17.0.\(rank % 9) vendor/Amazon.com_Inc.]"
            default:
                "APN/1.0 HashiCorp/1.0 Terraform/1.\(rank % 9).\(rank) (+https://www.terraform.io) terraform-provider-aws/5.\(rank).0 aws-sdk-go-v2/1.2\(rank % 9).0"
            }
        }
        kinds = Self.names.map { service, name, isData in
            Kind(
                service: service, name: name,
                isReadOnly: [
                    "Get", "Head", "List", "Desc", "Assu", "Look", "Quer", "Scan", "Batc", "Decr", "Gene", "Filt",
                ]
                .contains(String(name.prefix(4))), isData: isData)
        }
        kindRank = Zipf(kinds.count, 0.9)
    }

    /// Appends the next record.
    mutating func next(to out: inout [UInt8]) {
        let seconds = Self.startSeconds + Int64(index / Self.perSecond)
        let kind = kinds[kindRank.pick(&random)]
        let user = userRank.pick(&random)
        renew(user, seconds)
        let isFailed = random.below(100) < 6
        let id = uuid()
        lastID = id
        lastKey = users[user].key
        lastUser = users[user].name
        let time = Self.time(seconds)
        out.append(contentsOf: "{\"eventVersion\":\"1.10\",\"userIdentity\":".utf8)
        out.append(contentsOf: users[user].identity)
        var text =
            ",\"eventTime\":\"\(time)\",\"eventSource\":\"\(kind.service).amazonaws.com\",\"eventName\":\"\(kind.name)\""
        text += ",\"awsRegion\":\"\(Self.regions[user % 7 % 4])\",\"sourceIPAddress\":\""
        // Mostly the user's own address.
        text += addresses[random.below(4) > 0 ? user * 7919 % 3000 : addressRank.pick(&random)]
        text += "\",\"userAgent\":\"\(agents[random.below(5) > 0 ? user % 40 : agentRank.pick(&random)])\""
        if isFailed {
            let code = Self.errors[random.below(3)]
            text += ",\"errorCode\":\"\(code)\",\"errorMessage\":\""
            text +=
                code == "AccessDenied"
                ? "User: arn:aws:sts::\(Self.account):assumed-role/\(users[user].name)/session is not authorized to perform: \(kind.service):\(kind.name) because no identity-based policy allows the \(kind.service):\(kind.name) action\""
                : "Rate exceeded\""
        }
        parameters(kind, isFailed, &text)
        let requestID = kind.service == "s3" ? Self.upper(16, &random) : uuid()
        text += ",\"requestID\":\"\(requestID)\",\"eventID\":\"\(id)\",\"readOnly\":\(kind.isReadOnly)"
        if !lastARNs.isEmpty {
            text += ",\"resources\":["
            for (place, resource) in lastARNs.enumerated() {
                text +=
                    "\(place > 0 ? "," : "")\(place == 0 && kind.isData && kind.service == "s3" ? "" : "{\"accountId\":\"\(Self.account)\",")"
                text +=
                    "\(place == 0 && kind.isData && kind.service == "s3" ? "{" : "")\"type\":\"\(resource.type)\",\"ARN\":\"\(resource.arn)\"}"
            }
            text += "]"
        }
        text +=
            ",\"eventType\":\"AwsApiCall\",\"managementEvent\":\(!kind.isData),\"recipientAccountId\":\"\(Self.account)\""
        text += ",\"eventCategory\":\"\(kind.isData ? "Data" : "Management")\""
        text +=
            ",\"tlsDetails\":{\"tlsVersion\":\"TLSv1.3\",\"cipherSuite\":\"TLS_AES_128_GCM_SHA256\",\"clientProvidedHostHeader\":\"\(lastHost)\"}}"
        out.append(contentsOf: text.utf8)
        index += 1
    }

    private var lastARNs: [(type: String, arn: String)] = []
    private var lastHost = ""

    private mutating func parameters(_ kind: Kind, _ isFailed: Bool, _ text: inout String) {
        lastARNs = []
        lastHost = "\(kind.service).eu-west-1.amazonaws.com"
        lastResource = ""
        switch kind.service {
        case "s3":
            let bucket = buckets[bucketRank.pick(&random)]
            lastResource = bucket
            lastHost = "\(bucket).s3.eu-west-1.amazonaws.com"
            text += ",\"requestParameters\":{\"bucketName\":\"\(bucket)\""
            if kind.isData {
                let day = index / Self.perSecond / 86400
                let key =
                    "\(Self.stores[random.below(12)])/2026/\(1 + day / 28)/\(1 + day % 28)/part-\(random.below(20000)).parquet"
                text += ",\"key\":\"\(key)\""
                lastARNs = [
                    ("AWS::S3::Object", "arn:aws:s3:::\(bucket)/\(key)"), ("AWS::S3::Bucket", "arn:aws:s3:::\(bucket)"),
                ]
            } else {
                lastARNs = [("AWS::S3::Bucket", "arn:aws:s3:::\(bucket)")]
            }
            text += "},\"responseElements\":"
            text +=
                kind.isReadOnly || isFailed
                ? "null" : "{\"x-amz-server-side-encryption\":\"AES256\",\"x-amz-version-id\":\"null\"}"
            text +=
                ",\"additionalEventData\":{\"SignatureVersion\":\"SigV4\",\"CipherSuite\":\"TLS_AES_128_GCM_SHA256\""
            text +=
                ",\"bytesTransferredIn\":\(kind.isReadOnly ? 0 : random.below(40) * 4096),\"AuthenticationMethod\":\"AuthHeader\""
            text +=
                ",\"x-amz-id-2\":\"\(base64(75))=\",\"bytesTransferredOut\":\(kind.isReadOnly ? random.below(1_000_000) : 0)}"
        case "ec2":
            let instance = "i-0" + hex(16, random.below(3000))
            lastResource = instance
            text +=
                ",\"requestParameters\":{\"instancesSet\":{\"items\":[{\"instanceId\":\"\(instance)\"}]},\"filterSet\":{},\"includeAllInstances\":false}"
            text +=
                ",\"responseElements\":"
                + (kind.isReadOnly || isFailed
                    ? "null" : "{\"requestId\":\"\(uuid())\",\"_return\":true}")
        case "kms":
            let key = Self.key(random.below(60))
            text +=
                ",\"requestParameters\":{\"keyId\":\"\(key)\",\"encryptionAlgorithm\":\"SYMMETRIC_DEFAULT\",\"encryptionContext\":{\"aws:s3:arn\":\"arn:aws:s3:::\(buckets[bucketRank.pick(&random)])\"}},\"responseElements\":null"
            lastARNs = [("AWS::KMS::Key", key)]
            lastResource = key
        case "sts":
            let role = users[userRank.pick(&random)].name
            lastResource = role
            text +=
                ",\"requestParameters\":{\"roleArn\":\"arn:aws:iam::\(Self.account):role/\(role)\",\"roleSessionName\":\"session-\(random.below(500))\",\"durationSeconds\":3600}"
            text +=
                ",\"responseElements\":"
                + (isFailed
                    ? "null"
                    : "{\"credentials\":{\"accessKeyId\":\"ASIA\(Self.upper(16, &random))\",\"sessionToken\":\"HIDDEN_DUE_TO_SECURITY_REASONS\",\"expiration\":\"Jan 1, 2026, 1:00:00 AM\"},\"assumedRoleUser\":{\"arn\":\"arn:aws:sts::\(Self.account):assumed-role/\(role)/session\"}}")
            lastARNs = [("AWS::IAM::Role", "arn:aws:iam::\(Self.account):role/\(role)")]
        case "iam":
            let role = users[userRank.pick(&random)].name
            lastResource = role
            text +=
                ",\"requestParameters\":{\"roleName\":\"\(role)\",\"policyArn\":\"arn:aws:iam::aws:policy/\(Self.jobs[random.below(16)])Access\"},\"responseElements\":null"
        case "dynamodb":
            let table = "\(Self.teams[random.below(16)])-\(Self.stores[random.below(12)])"
            lastResource = table
            text +=
                ",\"requestParameters\":{\"tableName\":\"\(table)\",\"consistentRead\":true,\"key\":[\"id\",\"range\"]},\"responseElements\":null"
            lastARNs = [("AWS::DynamoDB::Table", "arn:aws:dynamodb:eu-west-1:\(Self.account):table/\(table)")]
        case "lambda":
            let function =
                "arn:aws:lambda:eu-west-1:\(Self.account):function:\(Self.teams[random.below(16)])-\(Self.jobs[random.below(16)])"
            text +=
                ",\"requestParameters\":{\"functionName\":\"\(function)\",\"invocationType\":\"RequestResponse\"},\"responseElements\":null"
            text += ",\"additionalEventData\":{\"functionVersion\":\"\(function):$LATEST\"}"
            lastARNs = [("AWS::Lambda::Function", function)]
            lastResource = function
        default:
            let group = "/aws/\(Self.jobs[random.below(16)])/\(Self.teams[random.below(16)])"
            lastResource = group
            text +=
                ",\"requestParameters\":{\"logGroupName\":\"\(group)\",\"logStreamName\":\"\(uuid())\",\"limit\":\(random.below(100))},\"responseElements\":null,\"apiVersion\":\"20140328\""
        }
    }

    /// A role's session lives an hour, with a key of its own.
    private mutating func renew(_ user: Int, _ seconds: Int64) {
        let session = users[user].isRole ? Int(seconds - Self.startSeconds) / 3600 : 0
        guard users[user].session != session else { return }
        users[user].session = session
        let (name, id) = (users[user].name, users[user].id)
        var text: String
        if users[user].isRole {
            users[user].key = "ASIA" + Self.upper(16, &random)
            let begun = Self.time(seconds - seconds % 3600)
            text =
                "{\"type\":\"AssumedRole\",\"principalId\":\"\(id):\(name)\",\"arn\":\"arn:aws:sts::\(Self.account):assumed-role/\(name)/\(name)\""
            text +=
                ",\"accountId\":\"\(Self.account)\",\"accessKeyId\":\"\(users[user].key)\",\"sessionContext\":{\"sessionIssuer\":{\"type\":\"Role\""
            text +=
                ",\"principalId\":\"\(id)\",\"arn\":\"arn:aws:iam::\(Self.account):role/\(name)\",\"accountId\":\"\(Self.account)\",\"userName\":\"\(name)\"}"
            text += ",\"attributes\":{\"creationDate\":\"\(begun)\",\"mfaAuthenticated\":\"false\"}}}"
        } else {
            users[user].key = "AKIA" + Self.upper(16, &random)
            text =
                "{\"type\":\"IAMUser\",\"principalId\":\"\(id)\",\"arn\":\"arn:aws:iam::\(Self.account):user/\(name)\",\"accountId\":\"\(Self.account)\""
            text += ",\"accessKeyId\":\"\(users[user].key)\",\"userName\":\"\(name)\"}"
        }
        users[user].identity = Array(text.utf8)
    }

    // MARK: Words

    private static func upper(_ count: Int, _ random: inout SplitMix64) -> String {
        String(
            decoding: (0..<count).map { _ in Array("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ".utf8)[random.below(36)] },
            as: UTF8.self)
    }

    private mutating func base64(_ count: Int) -> String {
        String(unsafeUninitializedCapacity: count) { out in
            for index in 0..<count { out[index] = Self.base64Letters[random.below(64)] }
            return count
        }
    }

    private mutating func uuid() -> String {
        let (high, low) = (random.next(), random.next())
        return String(unsafeUninitializedCapacity: 36) { out in
            var at = 0
            for nibble in 0..<32 {
                if nibble == 8 || nibble == 12 || nibble == 16 || nibble == 20 {
                    out[at] = 0x2D
                    at += 1
                }
                let word = nibble < 16 ? high : low
                out[at] = nibble == 12 ? 0x34 : Self.hexLetters[Int(word >> UInt64(60 - nibble % 16 * 4) & 15)]
                at += 1
            }
            return at
        }
    }

    private func hex(_ count: Int, _ value: Int) -> String {
        var mix = SplitMix64(state: UInt64(value))
        let word = mix.next()
        return String(
            decoding: (0..<count).map { Self.hexLetters[Int(word >> UInt64($0 * 4 % 64) & 15)] }, as: UTF8.self)
    }

    private static func key(_ index: Int) -> String {
        var mix = SplitMix64(state: UInt64(index) &+ 77)
        let word = String(mix.next() | 1 << 63, radix: 16)
        return
            "arn:aws:kms:eu-west-1:\(account):key/\(word.prefix(8))-\(word.suffix(4))-4c3d-9e5f-\(word)\(word.prefix(2))"
            .prefix(80).description
    }

    private static func time(_ seconds: Int64) -> String {
        let days = Int(seconds / 86400)
        let z = days + 719_468
        let era = z / 146_097
        let dayOfEra = z - era * 146_097
        let year = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * year + year / 4 - year / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        let month = shifted < 10 ? shifted + 3 : shifted - 9
        let ofDay = Int(seconds % 86400)
        func two(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
        return
            "\(year + era * 400 + (month <= 2 ? 1 : 0))-\(two(month))-\(two(dayOfYear - (153 * shifted + 2) / 5 + 1))"
            + "T\(two(ofDay / 3600)):\(two(ofDay / 60 % 60)):\(two(ofDay % 60))Z"
    }

    private static let base64Letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    private static let hexLetters = Array("0123456789abcdef".utf8)
    private static let regions = ["eu-west-1", "us-east-1", "eu-central-1", "ap-southeast-2"]
    private static let errors = ["AccessDenied", "ThrottlingException", "AccessDenied"]
    private static let teams = [
        "billing", "search", "media", "fraud", "maps", "login", "mail", "ads", "orders", "stock", "wiki", "chat", "ml",
        "ops",
        "audit", "web",
    ]
    private static let jobs = [
        "reader", "writer", "deploy", "backup", "ingest", "export", "report", "cron", "api", "worker", "sync", "admin",
        "build",
        "scan", "index", "proxy",
    ]
    private static let people = [
        "anna", "ben", "carla", "david", "elena", "farid", "greta", "hugo", "ines", "jonas", "karin", "luca", "mara",
        "nils",
        "olga", "pavel", "quentin", "rosa", "sven", "tara", "uwe", "vera", "willem", "yara",
    ]
    private static let stores = [
        "logs", "raw", "models", "exports", "images", "reports", "events", "backup", "cache", "staging", "public",
        "archive",
    ]
    private static let names: [(String, String, Bool)] = [
        ("s3", "GetObject", true), ("sts", "AssumeRole", false), ("kms", "Decrypt", false), ("s3", "PutObject", true),
        ("dynamodb", "GetItem", true), ("s3", "HeadObject", true), ("ec2", "DescribeInstances", false),
        ("s3", "ListObjects", true),
        ("s3", "GetBucketLocation", false), ("kms", "GenerateDataKey", false), ("lambda", "Invoke", true),
        ("s3", "DeleteObject", true),
        ("s3", "GetBucketAcl", false), ("dynamodb", "Query", true), ("iam", "GetRole", false),
        ("logs", "CreateLogStream", false),
        ("s3", "UploadPart", true), ("s3", "GetObjectTagging", true), ("ec2", "DescribeVolumes", false),
        ("dynamodb", "PutItem", true),
        ("s3", "ListParts", true), ("sts", "GetCallerIdentity", false), ("kms", "Encrypt", false),
        ("s3", "HeadBucket", true),
        ("logs", "DescribeLogGroups", false), ("iam", "ListRolePolicies", false),
        ("s3", "CompleteMultipartUpload", true),
        ("ec2", "DescribeSecurityGroups", false), ("dynamodb", "UpdateItem", true),
        ("s3", "CreateMultipartUpload", true),
        ("s3", "GetBucketPolicy", false), ("lambda", "GetFunction", false), ("iam", "GetPolicy", false),
        ("ec2", "DescribeSubnets", false),
        ("s3", "CopyObject", true), ("dynamodb", "Scan", true), ("kms", "DescribeKey", false),
        ("logs", "FilterLogEvents", false),
        ("s3", "PutObjectTagging", true), ("ec2", "RunInstances", false), ("iam", "AttachRolePolicy", false),
        ("dynamodb", "DeleteItem", true),
        ("s3", "GetBucketVersioning", false), ("ec2", "TerminateInstances", false),
        ("sts", "AssumeRoleWithWebIdentity", false),
        ("lambda", "UpdateFunctionCode", false), ("s3", "PutBucketPolicy", false), ("iam", "CreateRole", false),
        ("kms", "CreateGrant", false),
        ("ec2", "StartInstances", false), ("ec2", "StopInstances", false), ("logs", "PutRetentionPolicy", false),
        ("iam", "DeleteRole", false),
        ("dynamodb", "DescribeTable", false), ("s3", "CreateBucket", false), ("iam", "PutRolePolicy", false),
        ("lambda", "CreateFunction", false),
        ("s3", "DeleteBucket", false), ("kms", "ScheduleKeyDeletion", false), ("cloudtrail", "LookupEvents", false),
    ]
}

/// Ranks whose frequency falls with a power of their place.
struct Zipf {
    private let cumulative: [Double]

    init(_ count: Int, _ exponent: Double) {
        var sum = 0.0
        cumulative = (1...count).map { rank in
            sum += 1 / power(Double(rank), exponent)
            return sum
        }
    }

    func pick(_ random: inout SplitMix64) -> Int {
        let wanted = Double(random.next() >> 11) / 9_007_199_254_740_992 * (cumulative.last ?? 1)
        var low = 0
        var high = cumulative.count - 1
        while low < high {
            let middle = (low + high) / 2
            if cumulative[middle] < wanted { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

/// SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators").
struct SplitMix64 {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    mutating func below(_ bound: Int) -> Int { Int(next() >> 33) % bound }
}

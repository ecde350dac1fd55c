// SPDX-License-Identifier: Apache-2.0

internal import AWSWire
package import Keys
package import Objects

extension TrailKMS {
    /// The keys and buckets of this server.
    package init(keys: KeyService, objects: ObjectService) {
        self.init(
            find: { name, bucket, account throws(AWSError) -> String in
                guard KeyService.isKeyName(name) else { throw .invalidKmsKeyID(name) }
                guard let region = try await objects.bucket(named: bucket)?.region else {
                    throw .bucketDoesNotExist(bucket)
                }
                do throws(AWSError) {
                    return try keys.usableKey(named: name, account: account, region: region)
                } catch {
                    switch error.code {
                    case "NotFoundException": throw .kmsKeyNotFound(name, bucket: bucket, region: region)
                    case "InvalidArnException": throw .invalidKmsKeyID(name)
                    default: throw error.isServerFault ? error : .kmsKeyNotUsable(error.message)
                    }
                }
            },
            allows: { question throws(AWSError) -> Bool in
                guard let region = try await objects.bucket(named: question.bucket)?.region else { return false }
                let call = Call(
                    caller: .service(TrailBucket.principal), accountID: question.sourceAccount, region: region,
                    time: question.time, requestID: "", eventID: "", sourceAddress: TrailBucket.principal,
                    userAgent: TrailBucket.principal, isSecureTransport: true)
                return await keys.allowsUse(
                    "GenerateDataKey", ofKey: question.key,
                    .object(
                        bucket: question.bucket, key: question.objectKey,
                        more: ["aws:cloudtrail:arn": question.sourceARN]),
                    KeyUse(call: call, sourceARN: question.sourceARN, sourceAccount: question.sourceAccount))
            })
    }
}

// SPDX-License-Identifier: Apache-2.0

internal import AWSWire
internal import LogFiles
package import Objects
internal import Policies

extension TrailBucket {
    /// The buckets of this server. Deliveries go by this road and not by a call, so they are not themselves events:
    /// a trail that selects its own bucket's objects would otherwise feed itself without end.
    package init(objects: ObjectService) {
        self.init(
            exists: { bucket throws(AWSError) -> Bool in try await objects.bucket(named: bucket) != nil },
            allows: { question throws(AWSError) -> Bool in
                try await objects.decide(
                    service: ServicePut(
                        principal: Self.principal, sourceARN: question.sourceARN, sourceAccount: question.sourceAccount),
                    action: question.action, bucket: question.bucket, key: question.key, acl: question.acl
                ).isAllowed
            },
            put: { put throws(AWSError) in
                try await objects.putObject(
                    asService: ServicePut(
                        principal: Self.principal, sourceARN: put.sourceARN, sourceAccount: put.sourceAccount),
                    bucket: put.bucket, key: put.key, body: put.body,
                    headers: ServicePutHeaders(
                        contentType: LogFile.contentType, contentEncoding: LogFile.contentEncoding, acl: Self.acl,
                        metadata: put.metadata, keyARN: put.keyARN,
                        encryptionContext: put.keyARN == nil ? [:] : ["aws:cloudtrail:arn": put.sourceARN]))
            })
    }
}

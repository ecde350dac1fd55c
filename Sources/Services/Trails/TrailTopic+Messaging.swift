// SPDX-License-Identifier: Apache-2.0

internal import AWSWire
package import Messaging

extension TrailTopic {
    /// The topics of this server.
    package init(topics: TopicService) {
        self.init(publish: { message throws(AWSError) in
            try await topics.publish(
                message.text, subject: nil, to: message.topic, asService: TrailBucket.principal,
                sourceARN: message.sourceARN, sourceAccount: message.sourceAccount)
        })
    }
}

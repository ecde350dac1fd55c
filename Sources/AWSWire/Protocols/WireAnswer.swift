// SPDX-License-Identifier: Apache-2.0
//
// Answers and errors in the shape of each protocol: awsJson, Query, REST XML (S3) and REST JSON.

/// What goes back over HTTP.
package struct WireAnswer: Sendable {
    package enum Body: Sendable {
        case bytes([UInt8])
        case stream(AnswerStream)
    }

    package var status: Int
    /// Names in lower case; content-length is the server's business.
    package var headers: [WireHeader]
    package var body: Body

    package init(status: Int, headers: [WireHeader], body: Body) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    /// Bytes in the body, as far as it will be sent; nil where that is known only at the end.
    package var length: Int64? {
        switch body {
        case .bytes(let bytes): Int64(bytes.count)
        case .stream(let stream): stream.length
        }
    }
}

extension WireProtocol {
    /// Writes a successful answer.
    package func answer(
        _ answer: OperationAnswer, operation: String, requestID: String, hostID: String
    ) -> WireAnswer {
        var headers = requestHeaders(requestID: requestID, hostID: hostID)
        headers.append(contentsOf: answer.headers)
        let body: WireAnswer.Body
        switch answer.body {
        case .stream(let stream): body = .stream(stream)
        case .bytes(let bytes, let contentType):
            headers.append(WireHeader("content-type", contentType))
            body = .bytes(bytes)
        case .xml(let root, let content):
            headers.append(WireHeader("content-type", "application/xml"))
            body = .bytes(
                XMLDocument.write(root: root, namespace: Self.s3Namespace, content, forbidden: .referenced))
        case .members(let members):
            switch self {
            case .json(let version):
                headers.append(WireHeader("content-type", "application/x-amz-json-\(version)"))
                body = .bytes(WireValue.structure(members).json)
            case .restJSON:
                headers.append(WireHeader("content-type", "application/json"))
                body = .bytes(WireValue.structure(members).json)
            case .query(_, let namespace):
                headers.append(WireHeader("content-type", "text/xml"))
                body = .bytes(
                    QueryProtocol.answer(
                        operation: operation, namespace: namespace, members: members, requestID: requestID))
            case .restXML:
                headers.append(WireHeader("content-type", "application/xml"))
                body = .bytes(
                    XMLDocument.write(
                        root: "\(operation)Result", namespace: Self.s3Namespace, members, forbidden: .referenced))
            }
        case .none:
            switch self {
            case .json(let version):
                headers.append(WireHeader("content-type", "application/x-amz-json-\(version)"))
                body = .bytes(Array("{}".utf8))
            case .query(_, let namespace):
                headers.append(WireHeader("content-type", "text/xml"))
                body = .bytes(
                    QueryProtocol.answer(
                        operation: operation, namespace: namespace, members: nil, requestID: requestID))
            case .restXML, .restJSON: body = .bytes([])
            }
        }
        return WireAnswer(status: answer.status, headers: headers, body: body)
    }

    /// Writes an error. `hasBody` is false for HEAD requests and for statuses that have none.
    package func error(
        _ error: AWSError, requestID: String, hostID: String, resource: String, hasBody: Bool
    ) -> WireAnswer {
        var headers = requestHeaders(requestID: requestID, hostID: hostID)
        headers.append(contentsOf: error.headers)
        guard hasBody, error.status != 304 else {
            return WireAnswer(status: error.status, headers: headers, body: .bytes([]))
        }
        let body: [UInt8]
        switch self {
        case .json(let version):
            headers.append(WireHeader("content-type", "application/x-amz-json-\(version)"))
            headers.append(WireHeader("x-amzn-errortype", error.code))
            var content: WireStructure = ["__type": .string(error.code), "Message": .string(error.message)]
            content.members += error.details
            body = WireValue.structure(content).json
        case .restJSON:
            headers.append(WireHeader("content-type", "application/json"))
            headers.append(WireHeader("x-amzn-errortype", error.code))
            body = WireValue.structure(["message": .string(error.message)]).json
        case .query(_, let namespace):
            headers.append(WireHeader("content-type", "text/xml"))
            body = QueryProtocol.error(error, namespace: namespace, requestID: requestID)
        case .restXML:
            headers.append(WireHeader("content-type", "application/xml"))
            var content: WireStructure = ["Code": .string(error.code), "Message": .string(error.message)]
            for detail in error.details { content.append(detail.name, detail.value) }
            if content["Resource"] == nil { content.append("Resource", .string(resource)) }
            content.append("RequestId", .string(requestID))
            content.append("HostId", .string(hostID))
            body = XMLDocument.write(root: "Error", namespace: nil, content)
        }
        return WireAnswer(status: error.status, headers: headers, body: .bytes(body))
    }

    private static let s3Namespace = "http://s3.amazonaws.com/doc/2006-03-01/"

    private func requestHeaders(requestID: String, hostID: String) -> [WireHeader] {
        switch self {
        case .restXML: [WireHeader("x-amz-request-id", requestID), WireHeader("x-amz-id-2", hostID)]
        case .json, .query, .restJSON: [WireHeader("x-amzn-requestid", requestID)]
        }
    }
}

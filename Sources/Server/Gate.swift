// SPDX-License-Identifier: Apache-2.0

package import AWSWire
package import Capture
internal import Glibc
package import Identity
package import Logging
internal import NIOCore

/// The one way in: decode, authenticate, authorize, open, perform, close, answer.
///
/// A call that is refused takes the same road without *perform*, and is recorded with its error code. The answer leaves only
/// when the event is on stable storage.
package struct Gate: RequestResponder {
    let directory: ServiceDirectory
    let sessions: Sessions
    let authorizer: Authorizer
    let recorder: Recorder
    let verifier = SignatureVerifier()
    let identifiers: Identifiers
    let firstAccount: String
    let homeRegion: String
    let trustedProxies: Set<String>
    let isReady: @Sendable () -> Bool
    /// Public documents by their paths, which are not calls.
    let document: @Sendable (String) -> String?
    let clock: Clock
    let logger: Logger

    package init(
        directory: ServiceDirectory, sessions: Sessions, authorizer: Authorizer, recorder: Recorder,
        identifiers: Identifiers, firstAccount: String, homeRegion: String, trustedProxies: Set<String>,
        isReady: @escaping @Sendable () -> Bool, document: @escaping @Sendable (String) -> String?,
        clock: @escaping Clock, logger: Logger
    ) {
        self.directory = directory
        self.sessions = sessions
        self.authorizer = authorizer
        self.recorder = recorder
        self.identifiers = identifiers
        self.firstAccount = firstAccount
        self.homeRegion = homeRegion
        self.trustedProxies = trustedProxies
        self.isReady = isReady
        self.document = document
        self.clock = clock
        self.logger = logger
    }

    package func answer(
        _ request: WireRequest, body: IncomingBody, peerAddress: String, isSecure: Bool
    ) async -> WireAnswer {
        var visit = Visit(
            request: request, now: clock(), requestID: identifiers.uuid(), hostID: "",
            sourceAddress: sourceAddress(request, peer: peerAddress),
            isSecure: isSecure || isSecureAtProxy(request, peer: peerAddress))
        let decoded: Decoded
        do throws(AWSError) {
            decoded = try await decode(request, body, &visit)
        } catch {
            if protocolGuess(request) == .restXML {
                visit.requestID = identifiers.storageRequestID()
                visit.hostID = identifiers.hostID()
            }
            return refuse(error, visit)  // names no operation, so there is nothing to record
        }
        let service = decoded.service
        if case .restXML = service.wireProtocol {
            visit.requestID = identifiers.storageRequestID()
            visit.hostID = identifiers.hostID()
        }

        let proof: Proof
        switch await authenticate(decoded, visit) {
        case .proven(let proven): proof = proven
        case .refused(let error, let claimed):
            let answer = refuse(error, visit, service)
            await recorder.noteUnproven(
                record(decoded, call(by: claimed, decoded, visit), visit, nil, nil),
                CallOutcome(error: error, additionalEventData: additional(decoded, answer, visit)))
            return answer
        }

        var call = call(by: proof.caller, decoded, visit)
        let caller = call
        call.further = { [authorizer] resource throws(AWSError) in
            try await authorizer.refusal(
                caller, action: "", resources: [resource], family: SignatureFamily(service.wireProtocol)
            ).map(service.denial)
        }
        sessions.noteUse(by: call.caller, service: service.name, region: call.region, time: call.time)
        var operationRequest = OperationRequest(
            operation: decoded.operation, parameters: decoded.parameters, http: request, bytes: decoded.bytes)
        var recorded = record(decoded, call, visit, operationRequest, decoded.declared)
        var intent: Recorder.Intent?
        let outcome: CallOutcome
        let answer: WireAnswer
        do throws(AWSError) {
            guard let operation = decoded.declared else { throw service.notBuilt(decoded.operation) }
            if let problem = decoded.problem { throw problem }
            if service.wireProtocol == .restXML, !operation.traits.streamsBody {
                operationRequest.bytes = try verifiedBytes(decoded.bytes, proof, visit)
            }
            try parseDocument(&operationRequest, service)
            recorded = record(decoded, call, visit, operationRequest, operation)
            let resources = operation.resources(operationRequest, call)
            if operation.traits.recordsResources { recorded.resources = resources.filter { $0.action == nil } }
            // What nobody signed is recorded in the account whose bucket it is about.
            if recorded.isAnonymous, let owner = recorded.resources.lazy.compactMap(\.accountID).first {
                recorded.call.accountID = owner
            }
            if let refusal = SessionRules.refusal(proof.caller, service: service.name, operation: operation.name) {
                throw refusal
            }
            if operation.traits.authorization == .policies,
                let refusal = try await authorizer.refusal(
                    call, action: "\(service.name):\(operation.traits.iamAction ?? operation.name)",
                    resources: resources, conditions: try await operation.conditions(operationRequest, call),
                    family: SignatureFamily(service.wireProtocol))
            {
                throw service.denial(refusal)
            }
            if operation.traits.access == .write { intent = try await recorder.open(recorded) }
            if decoded.isStreamed {
                operationRequest.body = try verifiedBody(body, proof, visit)
            } else if operation.traits.streamsBody {
                operationRequest.body = .whole(decoded.bytes)
            }
            let result = try await perform(operation, operationRequest, call)
            if let caller = result.caller {
                recorded.call.caller = caller
                recorded.call.accountID = caller.accountID ?? call.accountID
            }
            recorded.add(result.furtherParameters)
            answer = service.wireProtocol.answer(
                result, operation: decoded.operation, requestID: visit.requestID, hostID: visit.hostID)
            outcome = CallOutcome(
                responseElements: result.event?.responseElements ?? responseElements(result, operation.traits),
                additionalEventData: additional(decoded, answer, visit, result.additionalEventData),
                errorMessage: result.event?.errorMessage)
            if let name = result.event?.name { recorded.eventName = name }
        } catch {
            report(error, visit, decoded)
            answer = refuse(error, visit, service)
            outcome = CallOutcome(error: error, additionalEventData: additional(decoded, answer, visit))
        }
        do throws(AWSError) {
            // Failed sign-ins prove nobody either. What a policy opens to everyone is done, so it is recorded like any call.
            let isDone = outcome.error == nil && outcome.errorMessage == nil
            if intent == nil, !isDone, recorded.call.caller.kind == .unknown || outcome.errorMessage != nil {
                await recorder.noteUnproven(recorded, outcome)
            } else {
                try await recorder.close(recorded, outcome, intent)
            }
        } catch {
            report(error, visit, decoded)
            return refuse(error, visit, service)
        }
        return answer
    }

    package func page(_ path: String) -> (status: Int, text: String)? {
        switch path {
        case "/healthz": (200, "ok\n")
        case "/readyz": isReady() ? (200, "ready\n") : (503, "not ready: the journal cannot take events\n")
        default: document(path).map { (200, $0) }
        }
    }
}

/// What is known of a request from the first moment.
struct Visit {
    var request: WireRequest
    var now: Timestamp
    var requestID: String
    var hostID: String
    var sourceAddress: String
    var isSecure: Bool
}

/// A request that names an operation; nothing of it is proven.
struct Decoded {
    var service: Service
    var operation: String
    /// The event's name, where a route gives another than the operation's.
    var eventName: String?
    var declared: BoundOperation?
    var parameters: WireStructure
    /// The body, where it was read into memory.
    var bytes: [UInt8]
    /// Whether the body is still to come.
    var isStreamed = false
    var presented: PresentedSignature?
    /// What is wrong with the signature's form.
    var signatureProblem: SignatureError?
    /// What is wrong with the rest; told only to callers that are authenticated.
    var problem: AWSError?
}

/// Who calls, proven.
struct Proof {
    var caller: Caller
    var signature: VerifiedSignature?
}

// MARK: - Perform

extension Gate {
    /// Documents beyond this are worked on in the shared pool, not on the connection's event loop.
    private static let smallDocumentBytesMax = 64 << 10

    private func perform(
        _ operation: BoundOperation, _ request: OperationRequest, _ call: Call
    ) async throws(AWSError) -> OperationAnswer {
        guard request.bytes.count > Self.smallDocumentBytesMax else {
            return try await operation.perform(request, call)
        }
        let result = await withTaskExecutorPreference(globalConcurrentExecutor) {
            () async -> Result<OperationAnswer, AWSError> in
            do throws(AWSError) {
                return .success(try await operation.perform(request, call))
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }
}

// MARK: - Decode

extension Gate {
    private static let bodyBytesMaxDefault = 1 << 20

    private func decode(
        _ request: WireRequest, _ body: IncomingBody, _ visit: inout Visit
    ) async throws(AWSError) -> Decoded {
        var presented: PresentedSignature?
        var signatureProblem: SignatureError?
        do throws(SignatureError) {
            presented = try PresentedSignature.parse(request)
        } catch {
            signatureProblem = error
        }
        let scope = presented?.scope ?? PresentedSignature.hintedScope(of: request)
        var bytes: [UInt8]?
        var form: [WireQueryItem] = []
        let isForm = request.header("content-type")?.hasPrefix("application/x-www-form-urlencoded") == true
        if scope == nil, isForm, request.method == "POST", request.header("x-amz-target") == nil {
            let collected = try await body.collect(bytesMax: Self.bodyBytesMaxDefault)
            bytes = collected
            form = (try? WireQueryItem.parse(String(decoding: collected, as: UTF8.self), plusIsBlank: true)) ?? []
        }
        guard let service = directory.service(for: request, scope: scope?.service, form: form) else {
            throw AWSError(
                "AuthorizationHeaderMalformed", "The credential scope names no service that could exist.")
        }

        var problem: AWSError?
        var operation = ""
        var eventName: String?
        var parameters = WireStructure()
        switch service.wireProtocol {
        case .json:
            guard let target = request.header("x-amz-target"), let dot = target.lastIndex(of: "."),
                let name = operationName(target[target.index(after: dot)...])
            else {
                throw refusalBeforeDecoding(service, "The header X-Amz-Target names no operation.")
            }
            operation = name
        case .query:
            if bytes == nil, isForm || request.method == "POST" {
                bytes = try await body.collect(bytesMax: Self.bodyBytesMaxDefault)
            }
            if form.isEmpty, let bytes, !bytes.isEmpty {
                do throws(AWSError) {
                    guard let text = String(validating: bytes, as: UTF8.self) else {
                        throw .serialization("the form is not UTF-8")
                    }
                    form = try WireQueryItem.parse(text, plusIsBlank: true)
                } catch { problem = error }
            }
            let items = form + request.query
            guard let action = items.first(where: { $0.name == "Action" }), let name = operationName(action.value[...])
            else {
                throw refusalBeforeDecoding(service, "The parameter Action names no operation.")
            }
            operation = name
            do throws(AWSError) { parameters = try QueryProtocol.parameters(from: items) } catch { problem = error }
        case .restXML, .restJSON:
            guard let route = service.route else {
                throw AWSError(
                    "UnknownOperationException", status: 404,
                    "This server does not offer the service `\(service.name)`.")
            }
            let routed = try route(request)
            operation = routed.operation
            eventName = routed.eventName
            parameters = routed.parameters
        }

        let declared = service.operations[operation]
        let streams = declared?.traits.streamsBody == true && mayStream(request, service)
        if !streams, bytes == nil {
            let bytesMax = declared?.traits.bodyBytesMax ?? Self.bodyBytesMaxDefault
            do throws(AWSError) {
                bytes = try await body.collect(bytesMax: bytesMax)
            } catch  where service.route == nil {
                throw error
            } catch {
                problem = error
            }
        }
        return Decoded(
            service: service, operation: operation, eventName: eventName, declared: declared, parameters: parameters,
            bytes: bytes ?? [], isStreamed: streams,
            presented: presented, signatureProblem: signatureProblem, problem: problem)
    }

    /// Whether a body can be left to flow: its hash, or that it has none, must be known from the header to check the signature.
    /// S3's clients always say it, others may.
    private func mayStream(_ request: WireRequest, _ service: Service) -> Bool {
        service.wireProtocol == .restXML || statedHash(of: request) != nil
    }

    /// The body's SHA-256 as the header states it; true of the body only when the stream's end has shown it.
    private func statedHash(of request: WireRequest) -> DeclaredPayload? {
        let stated = request.headers.filter { $0.name == "x-amz-content-sha256" }
        guard stated.count == 1, stated[0].value.utf8.count == 64 else { return nil }
        return try? DeclaredPayload.declared(by: request, presented: nil)
    }

    /// An operation's name as far as it may stand in an event: letters and digits, at most 128.
    private func operationName(_ text: Substring) -> String? {
        guard (1...128).contains(text.utf8.count),
            text.utf8.allSatisfy({
                (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0)
            })
        else { return nil }
        return String(text)
    }

    private func refusalBeforeDecoding(_ service: Service, _ message: String) -> AWSError {
        var error = service.notBuilt("")
        error.message = message
        return error
    }

    /// Parses the document in the body, now that the caller is known.
    ///
    /// S3's bodies are XML, but for the bucket policy, which is JSON and left to its operation.
    private func parseDocument(_ request: inout OperationRequest, _ service: Service) throws(AWSError) {
        guard !request.bytes.isEmpty else { return }
        if let encoding = request.http.header("content-encoding"), encoding != "identity", service.route == nil {
            throw AWSError(
                "UnsupportedMediaType", status: 415, "The content encoding `\(encoding)` is not supported here.")
        }
        switch service.wireProtocol {
        case .json:
            guard case .structure(let members) = try WireValue(json: request.bytes) else {
                throw .serialization("the request must be a JSON object")
            }
            request.parameters = members
        case .restXML:
            guard request.bytes.first(where: { $0 > 0x20 }) == UInt8(ascii: "<") else { return }
            let (root, content) = try XMLDocument.parse(request.bytes)
            request.parameters.append(root, content)
        case .query, .restJSON: return
        }
    }
}

// MARK: - Authenticate

extension Gate {
    private enum Authentication {
        case proven(Proof)
        /// `claimed` is whose access key the request names, where an account has it.
        case refused(AWSError, claimed: Caller)
    }

    private func authenticate(_ decoded: Decoded, _ visit: Visit) async -> Authentication {
        let family = SignatureFamily(decoded.service.wireProtocol)
        var credential: Credential?
        var problem = decoded.signatureProblem
        if problem == nil, let presented = decoded.presented {
            do throws(AWSError) {
                let found = try await sessions.find(presented, now: visit.now)
                credential = found.credential
                problem = found.problem
            } catch {
                return .refused(error, claimed: .unknown)
            }
        }
        do throws(SignatureError) {
            if let problem { throw problem }
            return .proven(try prove(decoded, credential, family, visit))
        } catch {
            return .refused(error.awsError(family, now: visit.now), claimed: credential?.caller ?? .unknown)
        }
    }

    private func prove(
        _ decoded: Decoded, _ credential: Credential?, _ family: SignatureFamily, _ visit: Visit
    ) throws(SignatureError) -> Proof {
        guard let presented = decoded.presented else {
            if family == .s3 || decoded.declared?.traits.authorization == .unsigned { return Proof(caller: .unknown) }
            throw .notSigned
        }
        guard let credential else { throw .unknownAccessKey(presented.accessKeyID) }
        try credential.checkToken(of: presented)
        let payload: DeclaredPayload =
            if family == .s3 {
                try .declared(by: visit.request, presented: presented)
            } else if decoded.isStreamed, let stated = statedHash(of: visit.request) {
                stated
            } else {
                .hash(of: decoded.bytes)
            }
        let verified = try verifier.verify(
            presented, of: visit.request, secret: credential.secret, payload: payload,
            rules: SignatureRules(family: family, service: decoded.service.name), now: visit.now)
        guard RegionName.isValid(presented.scope.region) else {
            throw .malformed(.region(presented.scope.region, expected: homeRegion), presented.form, presented: "")
        }
        return Proof(caller: credential.caller, signature: verified)
    }

    /// The body as a stream that proves itself while it flows.
    private func verifiedBody(
        _ body: IncomingBody, _ proof: Proof, _ visit: Visit
    ) throws(AWSError) -> RequestBody {
        try PayloadVerifier.body(
            declaredPayload(proof, visit), signature: proof.signature, request: visit.request, source: body.pieces)
    }

    /// A body that was read into memory, decoded and checked against what the signature says of it.
    private func verifiedBytes(_ bytes: [UInt8], _ proof: Proof, _ visit: Visit) throws(AWSError) -> [UInt8] {
        var verifier = try PayloadVerifier(
            declaredPayload(proof, visit), signature: proof.signature, request: visit.request)
        var verified: [UInt8] = []
        for piece in try verifier.take(ByteBuffer(bytes: bytes)) {
            verified.append(contentsOf: piece.readableBytesView)
        }
        _ = try verifier.finish()
        return verified
    }

    private func declaredPayload(_ proof: Proof, _ visit: Visit) throws(AWSError) -> DeclaredPayload {
        if let signature = proof.signature { return signature.payload }
        do throws(SignatureError) {
            return try DeclaredPayload.declared(by: visit.request, presented: nil)
        } catch {
            throw error.awsError(.s3, now: visit.now)
        }
    }

    /// Whether a proxy that we trust took the request over TLS.
    private func isSecureAtProxy(_ request: WireRequest, peer: String) -> Bool {
        trustedProxies.contains(peer) && request.header("x-forwarded-proto")?.lowercased() == "https"
    }

    /// The socket's address, or what a proxy that we trust says: the last address in `X-Forwarded-For` that is not one of
    /// our own proxies.
    private func sourceAddress(_ request: WireRequest, peer: String) -> String {
        guard trustedProxies.contains(peer) else { return peer }
        let hops = request.headers.filter { $0.name == "x-forwarded-for" }.flatMap { $0.value.split(separator: ",") }
        let addresses = hops.map { String($0.drop { $0 == " " }.prefix { $0 != " " }) }
        guard let address = addresses.last(where: { !trustedProxies.contains($0) }), isAddress(address) else {
            return peer
        }
        return address
    }
}

/// Whether a text is an IPv4 or IPv6 address.
private func isAddress(_ text: String) -> Bool {
    var room = in6_addr()
    return inet_pton(AF_INET, text, &room) == 1 || inet_pton(AF_INET6, text, &room) == 1
}

// MARK: - Record and answer

extension Gate {
    private func call(by caller: Caller, _ decoded: Decoded, _ visit: Visit) -> Call {
        let asked = decoded.presented?.scope.region ?? homeRegion
        let region = decoded.service.isGlobal ? "us-east-1" : RegionName.isValid(asked) ? asked : homeRegion
        return Call(
            caller: caller, accountID: caller.accountID ?? firstAccount, region: region, time: visit.now,
            requestID: visit.requestID, eventID: identifiers.uuid(), sourceAddress: visit.sourceAddress,
            userAgent: visit.request.header("user-agent"), isSecureTransport: visit.isSecure)
    }

    /// - Parameters:
    ///   - request: nil where the request's document was not believed or not readable.
    private func record(
        _ decoded: Decoded, _ call: Call, _ visit: Visit, _ request: OperationRequest?, _ operation: BoundOperation?
    ) -> CallRecord {
        let traits = decoded.declared?.traits
        let parameters: WireValue
        if let request, let recorded = operation?.recorded ?? decoded.service.recorded {
            parameters = recorded(request)
        } else {
            parameters = RecordedShape.members(
                request?.parameters ?? WireStructure(), redacted: traits?.redacted ?? [],
                times: traits?.times ?? [])
        }
        var record = CallRecord(
            call: call, eventSource: decoded.service.eventSource,
            eventName: traits?.eventName ?? decoded.eventName ?? decoded.operation,
            isReadOnly: traits.map(isReadOnly) ?? OperationTraits.looksReadOnly(decoded.operation),
            category: traits?.category ?? .management, apiVersion: decoded.service.apiVersion,
            requestParameters: parameters, resources: [], host: visit.request.header("host"),
            presentedAccessKeyID: decoded.presented?.accessKeyID)
        record.eventType = traits?.eventType
        record.isAnonymous =
            decoded.service.wireProtocol == .restXML && decoded.presented == nil && decoded.signatureProblem == nil
        return record
    }

    private func isReadOnly(_ traits: OperationTraits) -> Bool { traits.isReadOnly ?? (traits.access == .read) }

    private func responseElements(_ answer: OperationAnswer, _ traits: OperationTraits) -> WireValue {
        guard traits.recordsAnswer, traits.access == .write || traits.isReadOnly != nil else { return .null }
        if let recorded = answer.recorded { return RecordedShape.members(recorded, redacted: traits.redacted) }
        guard case .members(let members) = answer.body else { return .null }
        return RecordedShape.members(members, redacted: traits.redacted)
    }

    /// S3's additionalEventData, in the order in which S3 shows it.
    private func additional(
        _ decoded: Decoded, _ answer: WireAnswer, _ visit: Visit, _ own: WireStructure = WireStructure()
    ) -> WireStructure {
        guard case .restXML = decoded.service.wireProtocol else { return own }
        var members = WireStructure()
        if decoded.presented != nil { members.append("SignatureVersion", "SigV4") }
        members.append("bytesTransferredIn", .integer(visit.bytesIn))
        if let presented = decoded.presented {
            members.append("AuthenticationMethod", presented.form == .header ? "AuthHeader" : "QueryString")
        }
        members.append("x-amz-id-2", .string(visit.hostID))
        if let length = answer.length { members.append("bytesTransferredOut", .integer(length)) }
        members.members.append(contentsOf: own.members)
        return members
    }

    private func refuse(_ error: AWSError, _ visit: Visit, _ service: Service? = nil) -> WireAnswer {
        (service?.wireProtocol ?? protocolGuess(visit.request)).error(
            error, requestID: visit.requestID, hostID: visit.hostID, resource: visit.request.rawPath,
            hasBody: visit.request.method != "HEAD")
    }

    /// The protocol in which to refuse what names no service.
    private func protocolGuess(_ request: WireRequest) -> WireProtocol {
        if request.header("x-amz-target") != nil { return .json(version: "1.1") }
        if request.header("content-type")?.hasPrefix("application/x-www-form-urlencoded") == true {
            return .query(version: "", namespace: "https://sts.amazonaws.com/doc/2011-06-15/")
        }
        return .restXML
    }

    /// What went wrong on our side goes to the operator's log under the caller's request id.
    private func report(_ error: AWSError, _ visit: Visit, _ decoded: Decoded) {
        guard error.isServerFault, let cause = error.cause else { return }
        logger.error(
            "call failed inside",
            metadata: [
                "requestID": "\(visit.requestID)", "operation": "\(decoded.service.name):\(decoded.operation)",
                "code": "\(error.code)", "cause": "\(cause)",
            ])
    }
}

extension Visit {
    fileprivate var bytesIn: Int64 { request.header("content-length").flatMap { Int64($0) } ?? 0 }
}

# SPDX-License-Identifier: Apache-2.0
"""Policies and requests from a small world, for comparing policy engines.

A case has the form that `cairn-decide` reads (Tests/PolicyCases/DecisionCase.swift). `Generator.common()` makes cases in
which every engine that follows the documentation of AWS has to agree with every other. `Generator.special(name)` makes
one that has, besides, the one thing called `name`, about which an engine is known to differ.
"""

from __future__ import annotations

import random

A, B = "111111111111", "222222222222"

PRINCIPALS = {
    "U": {"account": A, "arn": f"arn:aws:iam::{A}:user/bob", "id": "AIDABOB0000000000001", "name": "bob"},
    "V": {"account": A, "arn": f"arn:aws:iam::{A}:user/alice", "id": "AIDAALICE00000000001", "name": "alice"},
    "S": {"account": A, "arn": f"arn:aws:iam::{A}:role/app/r", "id": "AROAROLER00000000001", "session": "s1"},
    "X": {"account": B, "arn": f"arn:aws:iam::{B}:user/xavier", "id": "AIDAXAVIER0000000001", "name": "xavier"},
    "Y": {"account": B, "arn": f"arn:aws:iam::{B}:role/b", "id": "AROAROLEB00000000001", "session": "s2"},
}

ACTIONS = ["*", "s3:*", "s3:Get*", "s3:GetObject", "s3:PutObject", "s3:?etObject", "s3:*Object", "S3:getobject", "sqs:*",
           "sqs:SendMessage"]
RESOURCES = ["*", "arn:aws:s3:::*", "arn:aws:s3:::b/*", "arn:aws:s3:::b/k", "arn:aws:s3:::c/?", "arn:aws:s3:::b/x/*/z",
             "arn:aws:s3:::b/${aws:username}", f"arn:aws:sqs:*:{A}:q*", "arn:aws:sqs:us-east-1:*:queue"]
ASKED = [("s3:GetObject", "arn:aws:s3:::b/k"), ("s3:PutObject", "arn:aws:s3:::b/x/1/2/z"),
         ("s3:GetObject", "arn:aws:s3:::c/x"), ("s3:GetObject", "arn:aws:s3:::c/long"), ("s3:GetObject", "arn:aws:s3:::b/bob"),
         ("sqs:SendMessage", f"arn:aws:sqs:us-east-1:{A}:queue")]

STRINGS = ["red", "blue", "Red", "redder", ""]
PATTERNS = ["red", "r*", "*e*", "?ed", "*", "blue", "Red"]
NUMBERS = ["5", "10", "10.5", "-3", "11"]
TIMES = ["2026-01-01T00:00:00Z", "2026-06-30T12:00:00Z", "2026-12-31T23:59:59Z"]
ADDRESSES = ["192.0.2.5", "203.0.113.9", "2001:db8::1"]
RANGES = ["192.0.2.0/24", "203.0.113.9", "203.0.113.0/28", "0.0.0.0/0", "2001:db8::/32", "::/0"]
ARNS = [f"arn:aws:sns:us-east-1:{A}:topic", f"arn:aws:sns:eu-west-1:{B}:topic", f"arn:aws:cloudtrail:us-east-1:{A}:trail/t"]
ARN_PATTERNS = ARNS + [f"arn:aws:sns:*:{A}:*", "arn:aws:sns:*:*:topic", f"arn:aws:*:us-east-1:{A}:t*"]

# Operator, key, values of the policy, values of the request.
KINDS = [
    (["StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", "StringEqualsIfExists",
      "StringNotEqualsIfExists", "StringEqualsIgnoreCaseIfExists"], "aws:PrincipalTag/team", STRINGS, STRINGS),
    (["StringLike", "StringLikeIfExists"], "aws:PrincipalTag/team", PATTERNS, STRINGS),
    (["NumericEquals", "NumericNotEquals", "NumericLessThan", "NumericLessThanEquals", "NumericGreaterThan",
      "NumericGreaterThanEquals"], "s3:max-keys", NUMBERS, NUMBERS),
    (["DateEquals", "DateNotEquals"], "aws:CurrentTime", TIMES, TIMES),
    (["Bool", "BoolIfExists"], "aws:MultiFactorAuthPresent", ["true", "false"], ["true", "false"]),
    (["IpAddress", "NotIpAddress"], "aws:SourceIp", RANGES, ADDRESSES),
    (["ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike", "ArnLikeIfExists", "ArnNotLikeIfExists"], "aws:SourceArn",
     ARN_PATTERNS, ARNS),
    (["Null"], "aws:PrincipalTag/unit", ["true", "false"], STRINGS[:-1]),
    (["Null"], "aws:SourceArn", ["true", "false"], ARNS),
]
ORDERED_DATES = ["DateLessThan", "DateLessThanEquals", "DateGreaterThan", "DateGreaterThanEquals"]
SET_OPERATORS = ["ForAllValues:StringEquals", "ForAllValues:StringLike", "ForAllValues:StringNotEquals",
                 "ForAnyValue:StringEquals", "ForAnyValue:StringLike"]
TAG_KEYS = ["a", "b", "ab", "c"]


def statements(document):
    found = document["Statement"]
    return found if isinstance(found, list) else [found]


def documents(case):
    """Every document of a case, with the name of its place."""
    for place, value in case["policies"].items():
        if place in ("serviceControl", "resourceControl"):
            for level in value["levels"]:
                for document in level:
                    yield place, document
        elif isinstance(value, list):
            for document in value:
                yield place, document
        else:
            yield place, value


def listed(value):
    return value if isinstance(value, list) else [value]


class Generator:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def pick(self, choices):
        return self.random.choice(choices)

    def some(self, choices, most=2):
        values = self.random.sample(choices, self.random.randint(1, most))
        return values if len(values) > 1 or self.random.random() < 0.3 else values[0]

    # A case in parts.

    def condition(self, context):
        """One operator with one key; gives the key a value in the request, or none."""
        kind = self.random.randrange(len(KINDS) + 3)
        if kind < len(KINDS):
            operators, key, wanted, given = KINDS[kind]
            values = self.some(wanted)
        elif kind == len(KINDS):
            operators, key, given, values = ORDERED_DATES, "aws:CurrentTime", TIMES, self.pick(TIMES)
        else:
            operators, key, given, values = SET_OPERATORS, "aws:TagKeys", None, self.some(TAG_KEYS)
        operator = self.pick(operators)
        if key not in context and self.random.random() < 0.8:
            context[key] = self.pick(given) if given else self.random.sample(TAG_KEYS, self.random.randint(1, 3))
        return {operator: {key: values}}

    def statement(self, context, place, deny=0.15):
        found = {"Effect": "Deny" if self.random.random() < deny else "Allow"}
        if place == "resource":
            name, principal = self.principal(found["Effect"])
            found[name] = principal
        found["NotAction" if self.random.random() < 0.1 else "Action"] = self.some(ACTIONS)
        if self.random.random() < 0.1:
            found["NotResource"] = self.some([text for text in RESOURCES if "$" not in text])
        else:
            found["Resource"] = self.some(RESOURCES)
        if self.random.random() < 0.4:
            found["Condition"] = self.condition(context)
        return found

    def principal(self, effect):
        names = [A, B, f"arn:aws:iam::{A}:root", f"arn:aws:iam::{B}:root"]
        names += [PRINCIPALS[letter]["arn"] for letter in PRINCIPALS]
        if effect == "Deny" and self.random.random() < 0.3:
            return "NotPrincipal", {"AWS": [p["arn"] for p in self.random.sample(list(PRINCIPALS.values()), 2)]}
        return "Principal", self.pick(["*", {"AWS": self.some(names)}, {"AWS": self.some(names)},
                                       {"Service": "cloudtrail.amazonaws.com"}])

    def document(self, context, place, wide=0.0):
        found = [self.statement(context, place) for _ in range(self.random.randint(1, 3))]
        if self.random.random() < wide:
            found.append({"Effect": "Allow", "Action": "*", "Resource": "*"})
        return {"Version": "2012-10-17", "Statement": found if len(found) > 1 else found[0]}

    def common(self):
        by = self.pick(["U", "U", "V", "S", "S", "X", "Y"])
        caller = PRINCIPALS[by]
        context = self.context(by)
        policies = {"identity": [self.document(context, "identity", wide=0.3)
                                 for _ in range(self.random.randint(0, 2))]}
        if self.random.random() < 0.3:
            policies["boundary"] = self.document(context, "boundary", wide=0.5)
        if "session" in caller and self.random.random() < 0.3:
            policies["session"] = [self.document(context, "session", wide=0.5)]
        if self.random.random() < 0.3:
            policies["serviceControl"] = {
                "account": caller["account"],
                "levels": [[self.document(context, "serviceControl", wide=0.8)
                            for _ in range(self.random.randint(1, 2))] for _ in range(self.random.randint(1, 3))]}
        case = {"name": "generated", "source": "generated", "policies": policies}
        action, resource = self.pick(ASKED)
        kind = self.random.random()
        if kind < 0.12:
            action, resource = "kms:Decrypt", f"arn:aws:kms:us-east-1:{A}:key/k"
            case["rule"] = "key"
        elif kind < 0.24:
            action, resource = "sts:AssumeRole", f"arn:aws:iam::{A}:role/t"
            case["rule"] = "roleTrust"
        if "rule" in case or caller["account"] != A or self.random.random() < 0.4:
            policies["resource"] = self.document(context, "resource")
            if "rule" in case:
                for statement in statements(policies["resource"]):
                    statement.pop("NotResource", None)
                    statement.pop("NotAction", None)
                    statement["Action"] = self.pick([action, "*"])
                    if case["rule"] == "key":
                        statement["Resource"] = "*"
                    else:
                        statement.pop("Resource", None)
        # An engine may give a role that a resource policy names more than AWS does; that is a case of its own.
        if "boundary" in policies or "session" in policies:
            self.replace_principals(case, {caller["arn"]} if "session" in caller else set())
        if "boundary" in policies:
            for statement in statements(policies.get("resource", {"Statement": []})):
                if "NotPrincipal" in statement:
                    statement["Principal"] = statement.pop("NotPrincipal")
        case["requests"] = [{"by": by, "action": action, "resource": resource, "resourceAccount": A, "context": context}]
        return case

    def replace_principals(self, case, unwanted):
        for statement in statements(case["policies"].get("resource", {"Statement": []})):
            for name in ("Principal", "NotPrincipal"):
                names = statement.get(name)
                if isinstance(names, dict) and "AWS" in names:
                    names["AWS"] = [B if arn in unwanted else arn for arn in listed(names["AWS"])]

    def context(self, by):
        caller = PRINCIPALS[by]
        context = {"aws:SecureTransport": self.pick(["true", "false"]), "aws:EpochTime": "1767225600",
                   "aws:PrincipalArn": caller["arn"], "aws:PrincipalAccount": caller["account"],
                   "aws:userid": caller["id"] + (":" + caller["session"] if "session" in caller else "")}
        if "name" in caller:
            context["aws:username"] = caller["name"]
        context["aws:CurrentTime"] = self.pick(TIMES)
        return context

    # Plain cases, to put one thing into about which engines differ.

    def asking(self, by="U", statement=None, context=None, request=None, **policies):
        """A case in which nothing but the given statement of an identity policy, or the given policies, decides."""
        if statement is not None:
            found = {"Effect": self.pick(["Allow", "Deny"]), "Action": "s3:*", "Resource": "*"} | statement
            if "NotResource" in statement:
                del found["Resource"]
            more = [{"Effect": "Allow", "Action": "*", "Resource": "*"}] if found["Effect"] == "Deny" else []
            policies["identity"] = [{"Version": "2012-10-17", "Statement": [found] + more}]
        asked = {"by": by, "action": "s3:GetObject", "resource": "arn:aws:s3:::b/k", "resourceAccount": A} | (request or {})
        asked["context"] = self.context(by) | (context or {})
        return {"name": "generated", "source": "generated", "policies": policies, "requests": [asked]}

    def conditional(self, condition, context):
        """A case that a condition decides."""
        return self.asking(statement={"Condition": condition}, context=context)

    def granted(self, by, statement, **policies):
        """A case that a statement of the resource's policy decides."""
        found = {"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::b/*"} | statement
        return self.asking(by, resource={"Version": "2012-10-17", "Statement": [found]}, **policies)

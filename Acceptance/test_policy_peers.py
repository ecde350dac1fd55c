# SPDX-License-Identifier: Apache-2.0
"""The engine against two others that were written by other people from the same documentation.

Whole decisions are compared with Principal Mapper (its `local_check_authorization_full`, tested against AWS's policy
simulator), single conditions with npkt, an evaluator of service control policies. Both come from PyPI. What they decide
otherwise is explained in docs/policy-engine.md; a disagreement that no explanation covers fails the test, and so does an
explanation that no disagreement needs.
"""

from __future__ import annotations

import collections
import collections.abc
import json
import pathlib
import random
import re
import subprocess

import pytest

from conftest import ROOT, binary
from npkt.engine.condition_operators import OPERATORS as CONDITION_OPERATORS
from policy_differences import DIFFERENCES, found_in
from policy_world import A, PRINCIPALS, Generator

# Principal Mapper was written for a Python whose `collections` still had these.
for _name in ("Mapping", "MutableMapping"):
    if not hasattr(collections, _name):
        setattr(collections, _name, getattr(collections.abc, _name))

from principalmapper.common import Node, Policy  # noqa: E402
from principalmapper.querying.query_interface import local_check_authorization_full  # noqa: E402

COMMON = 3000
SPECIAL = 40


def decide(cases):
    """What the engine says: whether each case's only request is allowed."""
    program = pathlib.Path(binary()).with_name("cairn-decide")
    lines = "".join(json.dumps(case) + "\n" for case in cases)
    out = subprocess.run([program], input=lines, stdout=subprocess.PIPE, text=True, check=True, timeout=600).stdout
    answers = [json.loads(line) for line in out.splitlines()]
    assert len(answers) == len(cases)
    return [answer[0] for answer in answers]


def peer(case):
    """What Principal Mapper says: a truth value, or the name of the exception that it met."""
    request, policies = case["requests"][0], case["policies"]
    caller = PRINCIPALS[request["by"]]

    def policy(document, name="p"):
        return Policy(f"arn:aws:iam::{A}:policy/{name}", name, document)

    node = Node(
        caller["arn"], caller["id"], [policy(document) for document in policies.get("identity", [])], [],
        {} if ":role/" in caller["arn"] else None, [] if ":role/" in caller["arn"] else None, 0, False, False,
        policy(policies["boundary"], "boundary") if "boundary" in policies else None, False, {})
    control = policies.get("serviceControl")
    try:
        return local_check_authorization_full(
            node, request["action"], request["resource"], dict(request["context"]), policies.get("resource"),
            request["resourceAccount"], [[policy(d) for d in level] for level in control["levels"]] if control else None,
            policies["session"][0] if "session" in policies else None)
    except (ValueError, TypeError, SyntaxError) as fault:
        return type(fault).__name__


def test_the_engine_agrees_with_an_independent_one():
    generator = Generator(seed=20261124)
    cases = [generator.common() for _ in range(COMMON)]
    answers = decide(cases)
    allowed, unexplained = 0, []
    for case, answer in zip(cases, answers):
        ours = answer["verdict"] == "allow"
        allowed += ours
        theirs = peer(case)
        if ours != theirs and not found_in(case):
            unexplained.append((ours, theirs, answer["explanation"], json.dumps(case)))
    assert not unexplained, f"{len(unexplained)} disagreements, the first: {unexplained[0]}"
    assert COMMON * 0.2 < allowed < COMMON * 0.8, "the world must be one in which policies matter"
    explained = sum(bool(found_in(case)) for case in cases)
    assert explained < COMMON * 0.05, "what is generated as common ground must be it"


@pytest.mark.parametrize("name", sorted(DIFFERENCES))
def test_a_disagreement_has_its_explanation(name):
    make, _ = DIFFERENCES[name]
    generator = Generator(seed=7)
    cases = [make(generator) for _ in range(SPECIAL)]
    disagreements = 0
    for case, answer in zip(cases, decide(cases)):
        assert found_in(case) == {name}, json.dumps(case)
        disagreements += (answer["verdict"] == "allow") != peer(case)
    assert disagreements, "the engines agree about this; its explanation can go"


# Single conditions.

TEXTS = ["red", "Red", "redder", "r*d", "", "blue", "a b"]
NUMBERS = ["0", "1", "1.0", "10", "-2.5", "0.1", "1e3", "1000", "9007199254740993", "9007199254740992", "many"]
MOMENTS = ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.5Z", "2026-01-01", "2026-06-30T12:00:00Z", "soon", "1767225600",
           "2026", "2026-01-01T01:00:00+01:00"]
FLAGS = ["true", "false", "True", "FALSE", "yes"]
PLACES = ["192.0.2.5", "192.0.2.0/24", "192.0.2.9/24", "0.0.0.0/0", "2001:db8::1", "2001:DB8::/32", "::/0", "::ffff:192.0.2.5",
          "nowhere"]
NAMES = ["arn:aws:sns:us-east-1:111111111111:t", "arn:aws:sns:*:111111111111:*", "arn:aws:sns:us-east-1:111111111111:T",
         "arn:aws:sns:us-east-1:222222222222:x:111111111111:t", "arn:aws:sns:us-east-1:*:t", "*", "text"]

OPERATORS = {
    "String": (["StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", "StringLike",
                "StringNotLike"], TEXTS),
    "Numeric": (["NumericEquals", "NumericNotEquals", "NumericLessThan", "NumericLessThanEquals", "NumericGreaterThan",
                 "NumericGreaterThanEquals"], NUMBERS),
    "Date": (["DateEquals", "DateNotEquals", "DateLessThan", "DateLessThanEquals", "DateGreaterThan",
              "DateGreaterThanEquals"], MOMENTS),
    "Bool": (["Bool"], FLAGS),
    "Address": (["IpAddress", "NotIpAddress"], PLACES),
    "Arn": (["ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"], NAMES),
    "Null": (["Null"], ["true", "false"]),
}

#: What npkt takes otherwise: a predicate of operator, value of the request (None if there is none), values of the policy.
CONDITION_DIFFERENCES = {
    "arns-are-texts": lambda o, given, values: o.startswith("Arn") and given is not None,
    "numbers-are-floats": lambda o, given, values: o.startswith("Numeric") and any(
        "e" in v or len(v) > 15 for v in [given or "", *values]),
    "no-number-differs": lambda o, given, values: o == "NumericNotEquals" and "many" in [given, *values],
    "dates-have-one-form": lambda o, given, values: o.startswith("Date") and any(
        not re.fullmatch(r"[0-9-]{10}T[0-9:.]{8,}Z", v or "soon") for v in [given, *values]) and given is not None,
    "what-is-not-true-is-false": lambda o, given, values: o == "Bool" and "yes" in [given, *values],
    "mapped-addresses": lambda o, given, values: o.endswith("IpAddress") and "::ffff:192.0.2.5" in [given, *values],
}


def test_conditions_agree_with_an_independent_evaluator():
    chance = random.Random(20261125)
    cases, asked = [], []
    for _ in range(4000):
        names, values = OPERATORS[chance.choice(list(OPERATORS))]
        operator = chance.choice(names)
        wanted = chance.sample(values, chance.randint(1, min(3, len(values))))
        given = None if chance.random() < 0.1 else chance.choice([v for v in values if "/" not in v])
        asked.append((operator, given, wanted))
        context = {} if given is None else {"x:key": given}
        cases.append({
            "name": "generated", "source": "generated", "policies": {"identity": [{"Version": "2012-10-17", "Statement": [
                {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {operator: {"x:key": wanted}}}]}]},
            "requests": [{"by": "U", "context": context}]})
    unexplained, used = [], set()
    for (operator, given, wanted), answer in zip(asked, decide(cases)):
        ours = answer["verdict"] == "allow"
        try:
            theirs = bool(CONDITION_OPERATORS[operator](given, wanted))
        except TypeError as fault:  # a date with an offset, one without
            theirs = type(fault).__name__
        if ours != theirs:
            reasons = {name for name, find in CONDITION_DIFFERENCES.items() if find(operator, given, wanted)}
            used |= reasons
            if not reasons:
                unexplained.append((operator, given, wanted, ours, theirs))
    assert not unexplained, f"{len(unexplained)} disagreements, the first: {unexplained[:5]}"
    assert used == set(CONDITION_DIFFERENCES), "an explanation that is not needed can go"


def test_every_difference_is_explained_in_the_documentation():
    text = (ROOT / "docs" / "policy-engine.md").read_text()
    assert set(re.findall(r"^\| `([a-z0-9-]+)` \|", text, re.MULTILINE)) == set(DIFFERENCES) | set(CONDITION_DIFFERENCES)

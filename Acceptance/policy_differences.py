# SPDX-License-Identifier: Apache-2.0
"""What Principal Mapper (PyPI: principalmapper) is known to decide otherwise, and how to recognise it in a case.

docs/policy-engine.md has a line for each of these, with what AWS documents. A difference has a name, a predicate that
finds it in a case, and a maker of cases that have it and nothing else. A disagreement between the engines in a case in
which no predicate finds anything is one that nobody has explained.
"""

from __future__ import annotations

import re

from policy_world import A, ADDRESSES, ARNS, B, NUMBERS, PRINCIPALS, RANGES, TIMES, documents, listed, statements

DIFFERENCES = {}


def difference(make):
    """Registers a difference: the function's name, its predicate `find`, and itself as the maker of cases."""
    def register(find):
        DIFFERENCES[make.__name__.replace("_", "-")] = (make, find)
        return find
    return register


def found_in(case):
    return {name for name, (_, find) in DIFFERENCES.items() if find(case)}


# What a case holds.


def conditions(case):
    """Every (operator, key, values) of a case, with the value in its request, which is None if there is none."""
    context = {key.lower(): value for key, value in case["requests"][0]["context"].items()}
    for _, document in documents(case):
        for statement in statements(document):
            for operator, keys in statement.get("Condition", {}).items():
                for key, values in keys.items():
                    yield operator, key, listed(values), context.get(key.lower())


def patterns(case, *names):
    for _, document in documents(case):
        for statement in statements(document):
            for name in names:
                yield from listed(statement.get(name, []))


def resource_statements(case):
    return statements(case["policies"].get("resource", {"Statement": []}))


def caller(case):
    return PRINCIPALS[case["requests"][0]["by"]]


def named(case, element="Principal"):
    """The AWS principals of the resource's policy."""
    for statement in resource_statements(case):
        principal = statement.get(element, {})
        if isinstance(principal, dict):
            yield from listed(principal.get("AWS", []))


def glob(pattern, text, flags=0):
    parts = ("".join({"*": ".*", "?": "."}.get(c, re.escape(c)) for c in pattern))
    return re.fullmatch(parts, text, flags | re.DOTALL) is not None


def glob_by_parts(pattern, text):
    one, other = pattern.split(":", 5), text.split(":", 5)
    return len(one) == len(other) == 6 and all(glob(p, t) for p, t in zip(one, other))


def arn_pairs(case):
    """Every pattern for an ARN with the ARN that it meets."""
    asked = case["requests"][0]["resource"]
    for pattern in patterns(case, "Resource", "NotResource"):
        yield pattern, asked
    for operator, _, values, value in conditions(case):
        if "Arn" in operator and isinstance(value, str):
            for pattern in values:
                yield pattern, value


# Actions, resources and ARNs.


def case_of_resources(g):
    return g.asking(statement={g.pick(["Resource", "NotResource"]): g.pick(["arn:aws:s3:::B/k", "arn:aws:s3:::b/K*"])})


@difference(case_of_resources)
def _(case):
    return any(p != "*" and glob(p, t, re.IGNORECASE) and not glob(p, t) for p, t in arn_pairs(case))


def stars_over_colons(g):
    if g.pick([True, False]):
        return g.conditional({g.pick(["ArnLike", "ArnNotLike"]): {"aws:SourceArn": f"arn:aws:sns:*:{A}:f/*"}},
                             {"aws:SourceArn": f"arn:aws:sns:us-east-1:{B}:store:{A}:f/x"})
    return g.asking(statement={g.pick(["Resource", "NotResource"]): f"arn:aws:sqs:*:{A}:q"},
                    request={"action": "s3:GetObject", "resource": f"arn:aws:sqs:us-east-1:{B}:x:{A}:q"})


@difference(stars_over_colons)
def _(case):
    return any(p != "*" and len(p.split(":", 5)) == 6 and "$" not in p and glob(p, t) and not glob_by_parts(p, t)
               for p, t in arn_pairs(case))


def short_arns(g):
    return g.asking(statement={"Resource": g.pick(["arn:aws:s3", "arn:aws:s3::"])})


@difference(short_arns)
def _(case):
    return any(p != "*" and p.count(":") < 5 for p in patterns(case, "Resource", "NotResource"))


def star_is_no_arn(g):
    return g.conditional({g.pick(["ArnLike", "ArnNotLike"]): {"aws:SourceArn": "*"}}, {"aws:SourceArn": g.pick(ARNS)})


@difference(star_is_no_arn)
def _(case):
    return any("Arn" in operator and any(v.count(":") < 5 for v in values) for operator, _, values, _ in conditions(case))


def values_that_are_no_arns(g):
    return g.conditional({g.pick(["ArnNotEquals", "ArnNotLike"]): {"aws:SourceArn": ARNS[0]}}, {"aws:SourceArn": "text"})


@difference(values_that_are_no_arns)
def _(case):
    return any("ArnNot" in operator and isinstance(value, str) and value.count(":") < 5
               for operator, _, _, value in conditions(case))


# Variables.


def variables_in_conditions(g):
    return g.conditional({g.pick(["StringEquals", "StringNotEquals", "StringLike"]): {"s3:prefix": "home/${aws:username}"}},
                         {"s3:prefix": "home/bob"})


@difference(variables_in_conditions)
def _(case):
    return any("${" in v for _, _, values, _ in conditions(case) for v in values)


def defaults_of_variables(g):
    return g.asking(statement={"Resource": "arn:aws:s3:::b/${aws:PrincipalTag/team, 'k'}"})


@difference(defaults_of_variables)
def _(case):
    return any(re.search(r"\$\{[^}]*,", p) for p in patterns(case, "Resource", "NotResource"))


def escapes_in_variables(g):
    return g.asking(statement={"Resource": "arn:aws:s3:::b/k${*}"}, request={"resource": "arn:aws:s3:::b/k*"})


@difference(escapes_in_variables)
def _(case):
    return any(re.search(r"\$\{[*?$]\}", p) for p in patterns(case, "Resource", "NotResource"))


def case_of_variables(g):
    return g.asking(statement={"Resource": "arn:aws:s3:::b/${AWS:UserName}"}, request={"resource": "arn:aws:s3:::b/bob"})


@difference(case_of_variables)
def _(case):
    known = set(case["requests"][0]["context"])
    for pattern in patterns(case, "Resource", "NotResource"):
        for name in re.findall(r"\$\{([^},]+)\}", pattern):
            if name not in known and name.lower() in {key.lower() for key in known}:
                return True
    return False


def stars_in_values(g):
    return g.asking(statement={g.pick(["Resource", "NotResource"]): "arn:aws:s3:::b/${aws:PrincipalTag/team}"},
                    context={"aws:PrincipalTag/team": g.pick(["*", "?"])})


@difference(stars_in_values)
def _(case):
    context = case["requests"][0]["context"]
    return any(set(str(context.get(name, ""))) & {"*", "?"} for p in patterns(case, "Resource", "NotResource")
               for name in re.findall(r"\$\{([^},]+)\}", p))


def variables_without_value(g):
    return g.asking(statement={"Effect": "Allow", "NotResource": "arn:aws:s3:::b/${aws:PrincipalTag/team}"})


@difference(variables_without_value)
def _(case):
    known = {key.lower() for key in case["requests"][0]["context"]}
    return any(name.lower() not in known for p in patterns(case, "NotResource")
               for name in re.findall(r"\$\{([^},]+)\}", p))


def documents_of_2008(g):
    case = g.asking(statement={"Resource": "arn:aws:s3:::b/${aws:username}"}, request={"resource": "arn:aws:s3:::b/bob"})
    case["policies"]["identity"][0]["Version"] = "2008-10-17"
    return case


@difference(documents_of_2008)
def _(case):
    return any(d.get("Version") != "2012-10-17" and "${" in str(d) for _, d in documents(case))


# Conditions.


def not_like_without_key(g):
    return g.conditional({"StringNotLike": {"aws:PrincipalTag/team": "r*"}}, {})


@difference(not_like_without_key)
def _(case):
    return any(operator == "StringNotLike" and value is None for operator, _, _, value in conditions(case))


EXACT = {name for base in ("Numeric", "Date") for name in (
    base + "Equals", base + "NotEquals", base + "LessThan", base + "LessThanEquals", base + "GreaterThan",
    base + "GreaterThanEquals")} | {"IpAddress", "NotIpAddress"}


def qualified_numbers_dates_and_addresses(g):
    operator, key, values, given = g.pick([
        ("NumericLessThanIfExists", "s3:max-keys", NUMBERS, NUMBERS), ("NumericEqualsIfExists", "s3:max-keys", NUMBERS, NUMBERS),
        ("DateGreaterThanIfExists", "aws:CurrentTime", TIMES, TIMES), ("IpAddressIfExists", "aws:SourceIp", RANGES, ADDRESSES),
        ("NotIpAddressIfExists", "aws:SourceIp", RANGES, ADDRESSES), ("ForAnyValue:NumericEquals", "s3:max-keys", NUMBERS, NUMBERS),
    ])
    return g.conditional({operator: {key: g.pick(values)}}, {key: g.pick(given)})


@difference(qualified_numbers_dates_and_addresses)
def _(case):
    return any(operator not in EXACT and re.search("Numeric|Date|IpAddress", operator)
               for operator, _, _, _ in conditions(case))


def several_dates(g):
    return g.conditional({"DateGreaterThan": {"aws:CurrentTime": [TIMES[2], TIMES[0]]}}, {"aws:CurrentTime": TIMES[1]})


@difference(several_dates)
def _(case):
    return any("Than" in operator and "Date" in operator and len(values) > 1 for operator, _, values, _ in conditions(case))


def dates_without_time(g):
    return g.conditional({"DateGreaterThan": {"aws:CurrentTime": "2026-01-01"}}, {"aws:CurrentTime": TIMES[1]})


@difference(dates_without_time)
def _(case):
    return any("Date" in operator and any("-" in v and not v.endswith("Z") for v in values)
               for operator, _, values, _ in conditions(case))


def values_that_are_no_numbers(g):
    return g.conditional({g.pick(["NumericEquals", "NumericNotEquals"]): {"s3:max-keys": "5"}}, {"s3:max-keys": "many"})


@difference(values_that_are_no_numbers)
def _(case):
    return any("Numeric" in operator and value is not None and not re.fullmatch(r"-?\d+(\.\d+)?", str(value))
               for operator, _, _, value in conditions(case))


def ranges_with_host_bits(g):
    return g.conditional({"IpAddress": {"aws:SourceIp": "192.0.2.77/24"}}, {"aws:SourceIp": "192.0.2.5"})


@difference(ranges_with_host_bits)
def _(case):
    return any("IpAddress" in operator and "192.0.2.77/24" in values for operator, _, values, _ in conditions(case))


def values_that_are_no_booleans(g):
    return g.conditional({"Bool": {"aws:MultiFactorAuthPresent": "false"}}, {"aws:MultiFactorAuthPresent": "perhaps"})


@difference(values_that_are_no_booleans)
def _(case):
    return any("Bool" in operator and isinstance(value, str) and value.lower() not in ("true", "false")
               for operator, _, _, value in conditions(case))


def case_of_booleans(g):
    return g.conditional({"Bool": {"aws:MultiFactorAuthPresent": "True"}}, {"aws:MultiFactorAuthPresent": "true"})


@difference(case_of_booleans)
def _(case):
    return any("Bool" in operator and any(v not in ("true", "false") for v in values)
               for operator, _, values, _ in conditions(case))


def binary_values(g):
    return g.conditional({"BinaryEquals": {"x:binary": "cmVk"}}, {"x:binary": "red"})


@difference(binary_values)
def _(case):
    return any("Binary" in operator for operator, _, _, _ in conditions(case))


def several_values_and_no_set_operator(g):
    return g.conditional({g.pick(["StringEquals", "StringNotEquals", "StringLike"]): {"aws:TagKeys": "a"}},
                         {"aws:TagKeys": g.pick([["a", "b"], ["b", "c"]])})


@difference(several_values_and_no_set_operator)
def _(case):
    return any(isinstance(value, list) and operator != "Null" and not operator.startswith("For")
               for operator, _, _, value in conditions(case))


def negated_for_any_value(g):
    return g.conditional({"ForAnyValue:StringNotEquals": {"aws:TagKeys": "a"}}, {"aws:TagKeys": ["a", "b"]})


@difference(negated_for_any_value)
def _(case):
    return any(operator.startswith("ForAnyValue:") and "Not" in operator for operator, _, _, _ in conditions(case))


def several_keys_for_any_value(g):
    return g.conditional({"ForAnyValue:StringEquals": {"aws:TagKeys": "a", "x:other": "a"}},
                         {"aws:TagKeys": ["a"], "x:other": ["b"]})


@difference(several_keys_for_any_value)
def _(case):
    return any(operator.startswith("ForAnyValue:") and len(keys) > 1 for _, d in documents(case) for s in statements(d)
               for operator, keys in s.get("Condition", {}).items())


def sets_of_other_than_strings(g):
    if g.pick([True, False]):
        return g.conditional({"ForAllValues:Bool": {"x:flags": "true"}}, {"x:flags": ["true", "false"]})
    return g.conditional({"ForAllValues:ArnLike": {"x:arns": ARNS[0]}}, {"x:arns": ARNS[:2]})


@difference(sets_of_other_than_strings)
def _(case):
    return any(re.match("For.*:(Bool|Arn)", operator) for operator, _, _, _ in conditions(case))


def null_of_an_empty_value(g):
    return g.conditional({"Null": {"aws:PrincipalTag/team": g.pick(["true", "false"])}}, {"aws:PrincipalTag/team": ""})


@difference(null_of_an_empty_value)
def _(case):
    return any(operator == "Null" and value in ("", []) for operator, _, _, value in conditions(case))


def case_of_operators(g):
    return g.conditional({"stringEquals": {"aws:PrincipalTag/team": "red"}}, {"aws:PrincipalTag/team": "blue"})


@difference(case_of_operators)
def _(case):
    return any(operator[0].islower() for operator, _, _, _ in conditions(case))


# Principals of the resource's policy.


def a_role_is_named(g):
    bound = g.pick(["boundary", "session"])
    wide = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sqs:*", "Resource": "*"}]}
    return g.granted("S", {"Principal": {"AWS": PRINCIPALS["S"]["arn"]}}, **{bound: wide if bound == "boundary" else [wide]})


@difference(a_role_is_named)
def _(case):
    return ("session" in caller(case) and caller(case)["arn"] in set(named(case))
            and ("boundary" in case["policies"] or "session" in case["policies"]))


def a_session_is_named(g):
    return g.granted("S", {"Effect": g.pick(["Allow", "Deny"]),
                           "Principal": {"AWS": f"arn:aws:sts::{A}:assumed-role/r/s1"}},
                     identity=g.pick([[], [{"Version": "2012-10-17", "Statement": [
                         {"Effect": "Allow", "Action": "*", "Resource": "*"}]}]]))


@difference(a_session_is_named)
def _(case):
    return any(":assumed-role/" in name for element in ("Principal", "NotPrincipal") for name in named(case, element))


def a_star_under_aws(g):
    return g.granted("U", {"Principal": {"AWS": "*"}})


@difference(a_star_under_aws)
def _(case):
    return "*" in set(named(case))


def an_id_is_named(g):
    return g.granted("U", {"Principal": {"AWS": PRINCIPALS["U"]["id"]}})


@difference(an_id_is_named)
def _(case):
    return any(name.startswith(("AIDA", "AROA")) for name in named(case))


def an_account_is_spared(g):
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    return g.granted("U", {"Effect": "Deny", "NotPrincipal": {"AWS": [A, PRINCIPALS["V"]["arn"]]}}, identity=[everything])


@difference(an_account_is_spared)
def _(case):
    own = caller(case)["account"]
    spared = set(named(case, "NotPrincipal"))
    return bool(spared & {own, f"arn:aws:iam::{own}:root"})


def nobody_with_a_boundary_is_spared(g):
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    return g.granted("U", {"Effect": "Deny", "NotPrincipal": {"AWS": PRINCIPALS["U"]["arn"]}}, identity=[everything],
                     boundary=everything)


@difference(nobody_with_a_boundary_is_spared)
def _(case):
    return "boundary" in case["policies"] and any("NotPrincipal" in s for s in resource_statements(case))

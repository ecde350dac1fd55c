# SPDX-License-Identifier: Apache-2.0
"""Prints the signature vectors: what botocore's own signers make of many odd requests, as JSON.

    python3 make_vectors.py > signatures.json

Each case has the request as it goes over the wire, and the canonical request, string to sign and signature that botocore
computed for it. The clock stands still at 2026-11-24T20:17:53Z.
"""

import datetime
import json
import sys
from urllib.parse import quote, urlsplit

import botocore
import botocore.auth
import botocore.compat
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

NOW = datetime.datetime(2026, 11, 24, 20, 17, 53, tzinfo=datetime.timezone.utc)
ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
TOKEN = "IQoJb3JpZ2luX2VjEXAMPLE//////////wEaCXVzLWVhc3QtMSJHMEUCIQ+tok/en=="

SIGNERS = {
    "header": botocore.auth.SigV4Auth,
    "s3-header": botocore.auth.S3SigV4Auth,
    "query": botocore.auth.SigV4QueryAuth,
    "s3-query": botocore.auth.S3SigV4QueryAuth,
}


def stop_clock():
    for module in (botocore.auth, botocore.compat):
        if hasattr(module, "get_current_datetime"):
            module.get_current_datetime = lambda remove_tzinfo=True: (
                NOW.replace(tzinfo=None) if remove_tzinfo else NOW
            )


def vector(name, signer, service, region, method, url, headers=(), body=b"", token=None, expires=3600):
    credentials = Credentials(ACCESS_KEY, SECRET_KEY, token)
    request = AWSRequest(method=method, url=url, data=body)
    for key, value in headers:
        request.headers.add_header(key, value)
    kind = SIGNERS[signer]
    made = {}

    class Recording(kind):
        def canonical_request(self, request):
            made["canonicalRequest"] = super().canonical_request(request)
            return made["canonicalRequest"]

        def string_to_sign(self, request, canonical_request):
            made["stringToSign"] = super().string_to_sign(request, canonical_request)
            return made["stringToSign"]

        def signature(self, string_to_sign, request):
            made["signature"] = super().signature(string_to_sign, request)
            return made["signature"]

    options = {"expires": expires} if signer.endswith("query") else {}
    Recording(credentials, service, region, **options).add_auth(request)
    parts = urlsplit(request.url)
    target = parts.path or "/"
    if parts.query:
        target += "?" + parts.query
    sent = [[key.lower(), value] for key, value in request.headers.items()]
    if not any(key == "host" for key, _ in sent):
        sent.insert(0, ["host", botocore.auth._host_from_url(url)])
    return {
        "name": name,
        "family": "s3" if signer.startswith("s3") else "query",
        "service": service,
        "region": region,
        "method": method,
        "target": target,
        "headers": sent,
        "body": body.decode("utf-8"),
        "token": token,
        **made,
    }


def cases():
    json_headers = [
        ("X-Amz-Target", "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents"),
        ("Content-Type", "application/x-amz-json-1.1"),
        ("User-Agent", "aws-cli/2.15 md/Botocore#1.34"),
    ]
    form_headers = [("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")]
    east = "us-east-1"

    yield vector("json post", "header", "cloudtrail", east, "POST", "http://127.0.0.1:4747/", json_headers, b"{}")
    yield vector("json post with token", "header", "cloudtrail", "eu-central-1", "POST",
                 "http://127.0.0.1:4747/", json_headers, '{"a":"\u00e4"}'.encode(), TOKEN)
    yield vector("query post", "header", "sts", east, "POST", "http://localhost:4747/", form_headers,
                 b"Action=GetCallerIdentity&Version=2011-06-15")
    yield vector("query get", "header", "sts", "us-gov-west-1", "GET",
                 "http://localhost/?Version=2011-06-15&Action=GetCallerIdentity")
    yield vector("no path", "header", "iam", east, "GET", "http://localhost:80")
    yield vector("default port of https", "header", "iam", east, "GET", "https://iam.example.test:443/")
    yield vector("date header", "header", "sts", east, "GET", "http://localhost:4747/",
                 [("Date", "Mon, 01 Jan 2001 00:00:00 GMT")])

    paths = [
        "/", "//", "/a//b", "/a/./b", "/a/../b", "/../a", "/a/..", "/a/b/", "/a/b/.", "/a%20b", "/a+b",
        "/a%2Fb", "/%E4%B8%AD%E6%96%87", "/a%252Fb", "/~user/-_.", "/a/%2E%2E/b", "///", "/a=b&c;d:e@f,g",
        "/(a)*'!$", "/%C3%A9/%F0%9F%98%80", "/a%7eb",
    ]
    for index, path in enumerate(paths):
        yield vector(f"path {index} {path}", "header", "es", east, "GET", f"http://localhost:4747{path}")
        yield vector(f"s3 path {index} {path}", "s3-header", "s3", east, "GET", f"http://localhost:4747{path}")
        yield vector(f"s3 presigned path {index} {path}", "s3-query", "s3", east, "GET",
                     f"http://localhost:4747{path}")

    queries = [
        "acl", "acl=", "a=1&b=2", "b=2&a=1", "a=2&a=1", "a=1&a=", "A=1&a=2", "a-b=1&a=2", "a%20b=c%20d",
        "a=b+c", "a=%2B", "prefix=a%2Fb%2F&delimiter=%2F", "%E4%B8%AD=%E6%96%87", "a==b", "a=b=c", "a=%25",
        "list-type=2&prefix=&continuation-token=1%2FAbc%3D%3D", "versioning&max-keys=0", "~=~&_=_&.=.&-=-",
        "tagging&X-Id=9", "a1=x&a=y&a%00=z", "x-id=PutObject", "uploads", "a=%F0%9F%98%80",
    ]
    for index, query in enumerate(queries):
        yield vector(f"query {index} {query}", "header", "es", east, "GET", f"http://localhost:4747/p?{query}")
        yield vector(f"s3 query {index} {query}", "s3-header", "s3", east, "GET",
                     f"http://localhost:4747/b/k?{query}")
        # The presigners take the query apart and encode it anew; a plus sign would be a blank to them.
        if "+" not in query and query not in ("acl", "versioning&max-keys=0", "tagging&X-Id=9", "uploads"):
            yield vector(f"presigned query {index} {query}", "query", "es", east, "GET",
                         f"http://localhost:4747/p?{query}")
            yield vector(f"s3 presigned query {index} {query}", "s3-query", "s3", east, "GET",
                         f"http://localhost:4747/b/k?{query}")

    header_sets = [
        [("X-Amz-Meta-A", "  leading and trailing  ")],
        [("X-Amz-Meta-A", "inner   blanks    folded")],
        [("X-Amz-Meta-A", 'quoted "a   b"  c')],
        [("X-Amz-Meta-A", "")],
        [("X-Amz-Meta-B", "2"), ("X-Amz-Meta-A", "1"), ("X-Amz-Meta-B", "1")],
        [("X-Amz-Meta-A", "a,b"), ("X-Amz-Meta-A", "c")],
        [("X-Amz-Meta-A", "tab\tinside")],
        [("X-Amz-Meta-Uml", "\u00e4\u00f6\u00fc \u4e2d\u6587")],
        [("Range", "bytes=0-9"), ("If-None-Match", '"abc"'), ("Content-MD5", "1B2M2Y8AsgTpgAmY7PhCfg==")],
        [("Expect", "100-continue"), ("User-Agent", "x"), ("X-Amzn-Trace-Id", "Root=1-2"), ("Transfer-Encoding", "chunked")],
        [("X-Amz-Acl", "private"), ("X-Amz-Copy-Source", "/b/k%20x?versionId=1")],
        [("Host", "bucket.s3.example.test:8443")],
        [("Host", "BUCKET.Example.Test")],
        [("X-Amz-A-B", "1"), ("X-Amz-A", "2"), ("X-Amz-A_B", "3"), ("X-Amz-A1", "4")],
    ]
    for index, headers in enumerate(header_sets):
        yield vector(f"headers {index}", "header", "es", east, "PUT", "http://localhost:4747/p", headers, b"body")
        yield vector(f"s3 headers {index}", "s3-header", "s3", east, "PUT", "http://localhost:4747/b/k", headers,
                     b"body")
        yield vector(f"s3 presigned headers {index}", "s3-query", "s3", east, "PUT", "http://localhost:4747/b/k",
                     headers)

    yield vector("s3 put with token", "s3-header", "s3", "eu-west-3", "PUT", "http://localhost:4747/b/k", (), b"x", TOKEN)
    yield vector("s3 presigned with token", "s3-query", "s3", "eu-west-3", "GET", "http://localhost:4747/b/k",
                 token=TOKEN, expires=604800)
    yield vector("presigned with token", "query", "sts", east, "GET",
                 "http://localhost:4747/?Action=GetCallerIdentity&Version=2011-06-15", token=TOKEN, expires=1)
    for method in ("GET", "PUT", "POST", "DELETE", "HEAD", "PATCH"):
        yield vector(f"s3 method {method}", "s3-header", "s3", east, method, "http://localhost:4747/b/k")
    for key in ("simple", "with space", "plus+sign", "unicode \u00e9\u4e2d\U0001f600", "per%cent", "a//b", "./x", "../y",
                "q?mark", "hash#", "semi;colon", "amp&eq=", "tilde~", "quote'\"", "back\\slash", "trailing/"):
        url = "http://localhost:4747/bucket/" + quote(key, safe="/~")
        yield vector(f"s3 key {key}", "s3-header", "s3", east, "PUT", url, (), b"content")
        yield vector(f"s3 presigned key {key}", "s3-query", "s3", east, "GET", url)


def main():
    stop_clock()
    json.dump(
        {
            "source": f"botocore {botocore.__version__}",
            "accessKeyID": ACCESS_KEY,
            "secretKey": SECRET_KEY,
            "time": NOW.strftime("%Y%m%dT%H%M%SZ"),
            "cases": list(cases()),
        },
        sys.stdout,
        indent=1,
        ensure_ascii=True,
    )
    print()


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""What lifecycle rules do as days go by: the server's clock is turned between starts, and clients sign by it."""

import datetime

from conftest import code_of, days_away, error_of, start_on_day, wait_until

LARGE = b"x" * (128 * 1024)


def rule(name, **actions):
    return {"ID": name, "Status": "Enabled", "Filter": {"Prefix": f"{name}/"}, **actions}


def classes(s3, bucket):
    return {item["Key"]: item["StorageClass"] for item in s3.list_objects_v2(Bucket=bucket).get("Contents", [])}


def later(server, count):
    """Starts the server again, so many days from now; a context in which clients sign by its clock."""
    start_on_day(server, count)
    return days_away(count)


def test_current_versions_grow_colder_and_end(make_server):
    server = make_server()
    s3 = server.client("s3")
    s3.create_bucket(Bucket="current")
    s3.put_bucket_lifecycle_configuration(Bucket="current", LifecycleConfiguration={"Rules": [
        rule("cold", Transitions=[{"Days": 3, "StorageClass": "GLACIER_IR"}, {"Days": 6, "StorageClass": "DEEP_ARCHIVE"}]),
        rule("ends", Expiration={"Days": 3}),
        rule("off", Expiration={"Days": 3}) | {"Status": "Disabled"},
        rule("tag", Expiration={"Days": 3}) | {"Filter": {"And": {
            "Prefix": "tag/", "Tags": [{"Key": "keep", "Value": "no"}, {"Key": "team", "Value": "a"}]}}},
        rule("size", Expiration={"Days": 3}) | {"Filter": {"And": {
            "Prefix": "size/", "ObjectSizeGreaterThan": 2, "ObjectSizeLessThan": 5}}},
        rule("open", AbortIncompleteMultipartUpload={"DaysAfterInitiation": 3})]})
    for key in ("cold/large", "ends/a", "off/a"):
        s3.put_object(Bucket="current", Key=key, Body=LARGE)
    s3.put_object(Bucket="current", Key="cold/small", Body=b"small objects do not change class")
    s3.put_object(Bucket="current", Key="tag/both", Body=b"x", Tagging="keep=no&team=a")
    s3.put_object(Bucket="current", Key="tag/one", Body=b"x", Tagging="keep=no&team=b")
    for size in (2, 3, 4, 5):
        s3.put_object(Bucket="current", Key=f"size/{size}", Body=b"x" * size)
    for key in ("open/a", "other/a"):
        s3.create_multipart_upload(Bucket="current", Key=key)

    with later(server, 2):
        s3 = server.client("s3")
        assert set(classes(s3, "current").values()) == {"STANDARD"} and len(classes(s3, "current")) == 10
    with later(server, 5):
        s3 = server.client("s3")
        wait_until(lambda: "ends/a" not in classes(s3, "current")
                   and classes(s3, "current").get("cold/large") == "GLACIER_IR")
        wait_until(lambda: len(s3.list_multipart_uploads(Bucket="current")["Uploads"]) == 1)
        assert s3.list_multipart_uploads(Bucket="current")["Uploads"][0]["Key"] == "other/a"
        assert classes(s3, "current") == {
            "cold/large": "GLACIER_IR", "cold/small": "STANDARD", "off/a": "STANDARD", "tag/one": "STANDARD",
            "size/2": "STANDARD", "size/5": "STANDARD"}
        # Archived for instant retrieval: it is read as it is.
        assert s3.get_object(Bucket="current", Key="cold/large")["Body"].read() == LARGE
    with later(server, 8):
        s3 = server.client("s3")
        wait_until(lambda: classes(s3, "current")["cold/large"] == "DEEP_ARCHIVE")
        error = error_of(s3.get_object, Bucket="current", Key="cold/large")
        assert code_of(error) == "InvalidObjectState"
        assert error.response["Error"]["StorageClass"] == "DEEP_ARCHIVE"


def test_noncurrent_versions_grow_colder_and_end_but_for_the_newest(make_server):
    server = make_server()
    s3 = server.client("s3")
    s3.create_bucket(Bucket="past", ObjectLockEnabledForBucket=True)
    s3.put_bucket_lifecycle_configuration(Bucket="past", LifecycleConfiguration={"Rules": [
        rule("cold", NoncurrentVersionTransitions=[{"NoncurrentDays": 3, "StorageClass": "GLACIER"}]),
        rule("few", NoncurrentVersionExpiration={"NoncurrentDays": 3, "NewerNoncurrentVersions": 2}),
        rule("gone", NoncurrentVersionExpiration={"NoncurrentDays": 3}, Expiration={"ExpiredObjectDeleteMarker": True}),
        rule("held", NoncurrentVersionExpiration={"NoncurrentDays": 3})]})
    for _ in range(2):
        s3.put_object(Bucket="past", Key="cold/a", Body=LARGE)
    few = [s3.put_object(Bucket="past", Key="few/a", Body=b"x")["VersionId"] for _ in range(5)]
    s3.put_object(Bucket="past", Key="gone/a", Body=b"x")
    s3.delete_object(Bucket="past", Key="gone/a")
    until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=30)
    held = s3.put_object(Bucket="past", Key="held/a", Body=b"x", ObjectLockMode="COMPLIANCE",
                         ObjectLockRetainUntilDate=until)["VersionId"]
    s3.delete_object(Bucket="past", Key="held/a")

    def versions(prefix):
        answer = s3.list_object_versions(Bucket="past", Prefix=prefix)
        return answer.get("Versions", []), answer.get("DeleteMarkers", [])

    with later(server, 5):
        s3 = server.client("s3")
        wait_until(lambda: [item["StorageClass"] for item in versions("cold/")[0]] == ["STANDARD", "GLACIER"])
        wait_until(lambda: len(versions("few/")[0]) == 3)
        assert [item["VersionId"] for item in versions("few/")[0]] == few[:1:-1]
        # First the version goes, then the marker that nothing is behind.
        wait_until(lambda: versions("gone/") == ([], []))
        assert [item["VersionId"] for item in versions("held/")[0]] == [held]
        assert code_of(error_of(s3.delete_object, Bucket="past", Key="held/a", VersionId=held,
                                BypassGovernanceRetention=True)) == "AccessDenied"
    with later(server, 40):
        s3 = server.client("s3")
        wait_until(lambda: not versions("held/")[0])

# SPDX-License-Identifier: Apache-2.0
"""`cairn serve` and `cairn env` as a process: first start, flags, locks, signals, privacy."""

import http.client
import os
import re
import signal
import socket
import stat
import subprocess
import threading
import time

import pytest

from conftest import CairnServer, binary, wait_until


def refused(server: CairnServer, *flags: str, timeout: float = 20) -> str:
    """Starts a server that must not start, and returns what it said."""
    done = subprocess.run(
        server.command(*flags), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout,
        env=server._process_environment())
    text = done.stdout + done.stderr
    assert done.returncode not in (0, None), f"it should have refused to start:\n{text}"
    assert done.returncode > 0, f"it died of signal {-done.returncode}:\n{text}"
    assert "Fatal error" not in text and "Stack dump" not in text, text
    return text


# -- the first start --------------------------------------------------------------------------------------------------


def test_first_start_says_where_it_is_and_how_to_use_it(server):
    text = server.log_text()
    assert f"cairn is ready at {server.endpoint}" in text
    assert "cairn env" in text


def test_the_first_account_has_keys_of_the_usual_form(server):
    assert re.fullmatch(r"[0-9]{12}", server.account_id)
    assert re.fullmatch(r"AKIA[A-Z2-7]{16}", server.access_key)
    assert re.fullmatch(r"[A-Za-z0-9/+]{40}", server.secret_key)
    identity = server.client("sts").get_caller_identity()
    assert identity["Arn"] == f"arn:aws:iam::{server.account_id}:root"
    assert identity["UserId"] == server.account_id


def test_env_prints_exports_that_a_shell_understands(server):
    done = subprocess.run(
        ["bash", "-c", 'eval "$("$0" env --data "$1")"; env | grep ^AWS_', binary(), str(server.data)],
        capture_output=True, text=True, check=True, env=server._process_environment())
    got = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert got["AWS_ENDPOINT_URL"] == server.endpoint
    assert got["AWS_ACCESS_KEY_ID"] == server.access_key
    assert got["AWS_SECRET_ACCESS_KEY"] == server.secret_key
    assert got["AWS_DEFAULT_REGION"] == got["AWS_REGION"] == "us-east-1"


def test_the_aws_cli_works_with_these_exports(server):
    assert server.aws_json("sts", "get-caller-identity")["Account"] == server.account_id


def test_secrets_are_not_printed_by_the_server(server):
    server.client("sts").get_caller_identity()
    assert server.secret_key not in server.log_text()


def test_everything_in_the_data_folder_is_private(server):
    server.make_bucket("private-bucket")
    server.client("s3").put_object(Bucket="private-bucket", Key="some/key", Body=b"private")
    open_to_others = [
        f"{oct(stat.S_IMODE(os.lstat(path).st_mode))} {path}"
        for folder, names, files in os.walk(server.data)
        for path in [folder] + [os.path.join(folder, file) for file in files]
        if os.lstat(path).st_mode & 0o077
    ]
    assert not open_to_others


def test_a_folder_that_was_open_to_others_is_closed_or_refused(make_server, tmp_path):
    folder = tmp_path / "open"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    server = make_server(data=folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    server.stop()


def test_two_folders_have_different_accounts_and_keys(make_server):
    first, second = make_server(), make_server()
    assert first.account_id != second.account_id
    assert first.access_key != second.access_key
    assert first.secret_key != second.secret_key


def test_a_server_on_an_empty_folder_is_ready_in_300_ms(make_server):
    took = []
    for _ in range(5):
        server = make_server(started=False)
        begin = time.monotonic()
        server.launch()
        while "cairn is ready at" not in server.log_text():
            assert server.is_running and time.monotonic() - begin < 20, server.log_text()
            time.sleep(0.002)
        took.append(time.monotonic() - begin)
        server.kill()
        if took[-1] < 0.3:
            return
    pytest.fail(f"ready after {[f'{1000 * t:.0f} ms' for t in took]}")


def test_health_and_readiness(server):
    assert server.http("GET", "/healthz").status == 200
    assert server.http("GET", "/readyz").status == 200


def test_health_pages_are_not_recorded(server):
    before = len(server.lookup())
    for _ in range(3):
        server.http("GET", "/healthz")
        server.http("GET", "/readyz")
    names = [event["EventName"] for event in server.lookup()]
    assert names[:1] == ["LookupEvents"]
    # Only look-ups may have come meanwhile: each page of the first look-up is one.
    assert set(names[: len(names) - before]) <= {"LookupEvents"}


# -- one folder, one server -------------------------------------------------------------------------------------------


def test_a_second_server_on_the_same_folder_is_refused(server):
    second = CairnServer(server.data)
    text = refused(second)
    assert str(server.data) in text
    assert re.search(r"another .*server", text)
    assert str(server.pid) in text
    assert server.client("sts").get_caller_identity()["Account"] == server.account_id


def test_after_a_crash_the_lock_is_free(make_server):
    server = make_server()
    server.kill()
    server.start()
    server.stop()


def test_a_port_that_is_taken_is_named(make_server):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = refused(make_server(started=False), "--listen", f"127.0.0.1:{port}")
    assert f"{port}" in text


# -- configuration ----------------------------------------------------------------------------------------------------


def test_environment_variables_set_what_flags_set(make_server):
    server = make_server(region=None, environment={"CAIRN_REGION": "eu-central-1"})
    assert server.region == "eu-central-1"


def test_a_yaml_file_sets_what_flags_set(make_server, tmp_path):
    file = tmp_path / "cairn.yaml"
    file.write_text("region: ap-southeast-2\nlog-level: warning\n")
    server = make_server(region=None, environment={"CAIRN_CONFIG": str(file)})
    assert server.region == "ap-southeast-2"


def test_flags_win_over_the_environment_and_that_over_the_file(make_server, tmp_path):
    file = tmp_path / "cairn.yaml"
    file.write_text("region: ap-southeast-2\n")
    both = {"CAIRN_CONFIG": str(file), "CAIRN_REGION": "eu-central-1"}
    assert make_server(region=None, environment=both).region == "eu-central-1"
    assert make_server(region="sa-east-1", environment=both).region == "sa-east-1"


def test_the_config_flag_names_the_file(make_server, tmp_path):
    file = tmp_path / "cairn.yaml"
    file.write_text("region: ca-central-1\n")
    assert make_server(region=None, config=str(file)).region == "ca-central-1"


def test_the_default_folder_is_under_the_xdg_data_home(make_server, tmp_path):
    server = make_server(started=False, environment={"XDG_DATA_HOME": str(tmp_path / "xdg")})
    command = [word for word in server.command() if word not in ("--data", str(server.data))]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env=server._process_environment())
    try:
        wait_until(lambda: (tmp_path / "xdg" / "cairn" / "endpoint").exists())
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


@pytest.mark.parametrize(
    "flag, value",
    [("delivery-interval", "soon"), ("delivery-interval", "0s"), ("digest-interval", "-5m"), ("region", "Mars"),
     ("listen", "nowhere"), ("listen", "127.0.0.1:99999"), ("log-level", "loud"), ("config", "/nowhere/cairn.yaml")])
def test_a_flag_that_cannot_be_used_is_named(make_server, flag, value):
    server = make_server(started=False)
    text = refused(server, f"--{flag}={value}")
    assert flag in text or (flag == "config" and value in text)
    assert value in text


def test_a_bad_value_in_the_environment_names_the_variable(make_server):
    server = make_server(started=False, delivery_interval=None, environment={"CAIRN_DELIVERY_INTERVAL": "soon"})
    assert "CAIRN_DELIVERY_INTERVAL" in refused(server)


def test_an_unknown_flag_is_refused(make_server):
    assert "--no-such-flag" in refused(make_server(started=False), "--no-such-flag", "1")


def test_a_folder_that_cannot_be_made_is_named(make_server, tmp_path):
    (tmp_path / "file").write_text("in the way")
    server = make_server(started=False, data=tmp_path / "file" / "data")
    text = subprocess.run(
        server.command(), capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=20, env=dict(os.environ))
    assert text.returncode > 0
    assert str(tmp_path / "file") in text.stdout + text.stderr


def test_env_on_a_folder_without_a_server_says_so(tmp_path):
    done = subprocess.run(
        [binary(), "env", "--data", str(tmp_path / "nothing")], capture_output=True, text=True, timeout=20)
    assert done.returncode > 0
    assert "nothing" in done.stderr
    assert "AWS_SECRET_ACCESS_KEY" not in done.stdout
    assert not (tmp_path / "nothing").exists(), "a question must not create a data folder"


def test_help_names_the_commands():
    done = subprocess.run([binary(), "--help"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0
    for command in ["serve", "env", "import"]:
        assert command in done.stdout
    done = subprocess.run([binary(), "serve", "--help"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0
    for flag in ["--data", "--listen", "--delivery-interval", "--digest-interval", "--region", "--log-level"]:
        assert flag in done.stdout


# -- the end ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_ends_the_server_with_status_0(make_server, which):
    server = make_server()
    server.client("sts").get_caller_identity()
    server.process.send_signal(which)
    assert server.process.wait(20) == 0


def test_an_idle_connection_does_not_hold_up_the_end(make_server):
    server = make_server()
    connection = http.client.HTTPConnection(server.host, server.port, timeout=20)
    connection.request("GET", "/healthz")
    connection.getresponse().read()
    begin = time.monotonic()
    server.stop()
    assert time.monotonic() - begin < 10
    connection.close()


def test_a_request_in_flight_is_finished_before_the_end(make_server):
    server = make_server()
    server.make_bucket("slow", policy=False)
    body = b"x" * 300_000
    headers = server.sign("PUT", "/slow/object", service="s3", body=body)
    connection = http.client.HTTPConnection(server.host, server.port, timeout=30)
    connection.putrequest("PUT", "/slow/object", skip_host=True, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders()
    connection.send(body[:100_000])
    time.sleep(0.3)
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert server.is_running, "the server ended although a request was in flight"
    connection.send(body[100_000:])
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 200
    connection.close()
    assert server.process.wait(20) == 0
    server.process = None
    server.start()
    assert server.body("slow", "object") == body
    server.stop()


def test_calls_that_come_while_the_server_ends_are_answered_or_refused_but_never_lost(make_server):
    server = make_server()
    acknowledged, done = [], threading.Event()

    def call():
        client = server.client("cloudtrail")
        while not done.is_set():
            try:
                acknowledged.append(client.list_trails()["ResponseMetadata"]["RequestId"])
            except Exception:
                return

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    server.stop()
    done.set()
    for thread in threads:
        thread.join()
    assert acknowledged
    server.start()
    recorded = [record["requestID"] for record in server.events(EventName="ListTrails")]
    assert sorted(recorded) == sorted(set(recorded)), "an event is there twice"
    assert set(acknowledged) <= set(recorded)
    server.stop()


def test_everything_is_there_after_a_restart(make_server):
    server = make_server()
    account, key = server.account_id, server.access_key
    trail = server.make_trail("kept")
    server.client("s3").put_object(Bucket=trail.bucket, Key="kept", Body=b"kept bytes", Metadata={"kept": "yes"})
    made = server.event_of(server.client("cloudtrail").list_trails())
    server.restart()
    assert server.read_exports()["AWS_ACCESS_KEY_ID"] == key
    assert server.client("sts").get_caller_identity()["Account"] == account
    assert server.body(trail.bucket, "kept") == b"kept bytes"
    assert server.client("s3").head_object(Bucket=trail.bucket, Key="kept")["Metadata"] == {"kept": "yes"}
    assert [t["TrailARN"] for t in server.client("cloudtrail").list_trails()["Trails"]] == [trail.arn]
    assert trail.status()["IsLogging"] is True
    assert server.events(EventId=made["eventID"]) == [made]
    server.stop()

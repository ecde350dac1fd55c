# SPDX-License-Identifier: Apache-2.0
"""S3 servers that nobody here wrote, on loopback, each in a folder of its own.

`Moto` (from PyPI), `Ceph` (a monitor, an OSD in memory and the gateway) and `Swift` (with s3api), the latter two from
Debian's packages, which `scripts/engines.sh` installs. Each has `start`, `stop`, `resume` and `close`, takes one access
key, and is spoken to at `url`. `Missing` says why one is not there; a start that fails is tried once more.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path


class Missing(Exception):
    """The engine cannot be had on this machine; the text says why."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


class Engine:
    """A server and its processes."""

    name = ""
    #: Programs that must be there.
    programs: tuple[str, ...] = ()
    region = "us-east-1"

    def __init__(self, folder: Path, access_key: str, secret_key: str):
        self.folder, self.access_key, self.secret_key = Path(folder), access_key, secret_key
        self.folder.mkdir(parents=True)
        self.port = free_port()
        self.processes: dict[str, subprocess.Popen] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def own_url(self) -> str:
        """Past whatever stands in front."""
        return self.url

    @classmethod
    def begin(cls, folder: Path, access_key: str, secret_key: str) -> "Engine":
        """A running engine; raises `Missing` when it cannot be had."""
        absent = [program for program in cls.programs if not cls.find(program)]
        if absent:
            raise Missing(f"{cls.name} is not installed (no {', '.join(absent)}); run scripts/engines.sh")
        problem = None
        for attempt in range(2):
            engine = cls(Path(folder) / f"{cls.name}-{attempt}", access_key, secret_key)
            try:
                engine.start()
                return engine
            except (OSError, subprocess.SubprocessError, TimeoutError, AssertionError) as error:
                problem = error
                engine.close()
        raise Missing(f"{cls.name} did not start: {problem}")

    @staticmethod
    def find(program: str) -> str | None:
        return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")

    def environment(self) -> dict[str, str]:
        return {"PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin", "HOME": str(self.folder), "LANG": "C.UTF-8"}

    def run(self, *command: str, timeout: float = 30) -> str:
        done = subprocess.run(
            [str(word) for word in command], env=self.environment(), stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=timeout)
        if done.returncode != 0:
            raise AssertionError(f"{command[0]} exited {done.returncode}: {done.stderr[-600:]}")
        return done.stdout

    def spawn(self, name: str, *command: str) -> None:
        with open(self.folder / f"{name}.log", "ab") as log:
            self.processes[name] = subprocess.Popen(
                [str(word) for word in command], env=self.environment(), stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT)

    def end(self, name: str) -> None:
        process = self.processes.pop(name, None)
        if process is None:
            return
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def wait(self, what: str, predicate, timeout: float = 90) -> None:
        end = time.monotonic() + timeout
        while not predicate():
            for name, process in self.processes.items():
                if process.poll() is not None:
                    log = (self.folder / f"{name}.log").read_text("utf-8", "replace")
                    raise AssertionError(f"{name} ended with {process.returncode}: {log[-600:]}")
            if time.monotonic() > end:
                raise TimeoutError(f"{what} took more than {timeout} s")
            time.sleep(0.1)

    def start(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        """The gateway goes; what is stored stays."""
        self.end("gateway")

    def resume(self) -> None:
        self.gateway()
        self.wait("the gateway", lambda: listens(self.port))

    def gateway(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        for name in list(reversed(self.processes)):
            self.end(name)


class Moto(Engine):
    """Moto's server. It forgets everything at its end, so a relay stands in front that can be taken away."""

    name = "moto"

    def __init__(self, folder: Path, access_key: str, secret_key: str, tls: tuple[Path, Path] | None = None):
        super().__init__(folder, access_key, secret_key)
        self.own_port = self.port
        self.relay: Relay | None = None
        self.tls = tls

    def start(self) -> None:
        program = Path(sys.executable).parent / "moto_server"
        if not program.exists():
            raise Missing("moto is not installed; run make setup")
        tls = ["-c", self.tls[0], "-k", self.tls[1]] if self.tls else []
        self.spawn("moto", str(program), "-H", "127.0.0.1", "-p", str(self.own_port), *tls)
        self.wait("moto", lambda: listens(self.own_port))
        self.relay = Relay(self.own_port)
        self.port = self.relay.port

    @property
    def own_url(self) -> str:
        return f"http://127.0.0.1:{self.own_port}"

    def stop(self) -> None:
        self.relay.down()

    def resume(self) -> None:
        self.relay.up()

    def close(self) -> None:
        if self.relay:
            self.relay.down()
        super().close()


class Ceph(Engine):
    """Ceph's RADOS gateway over one OSD that keeps everything in memory."""

    name = "ceph"
    programs = ("ceph-mon", "ceph-osd", "ceph", "radosgw", "radosgw-admin", "ceph-authtool", "monmaptool")

    def environment(self) -> dict[str, str]:
        return dict(super().environment(), CEPH_CONF=str(self.folder / "ceph.conf"))

    def start(self) -> None:
        folder, fsid, monitor = self.folder, uuid.uuid4(), free_port()
        for name in ("mon", "osd", "rgw", "run"):
            (folder / name).mkdir()
        (folder / "ceph.conf").write_text(f"""[global]
fsid = {fsid}
mon host = v1:127.0.0.1:{monitor}
mon initial members = a
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
ms bind msgr2 = false
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd crush chooseleaf type = 0
mon allow pool size one = true
mon data avail crit = 0
osd objectstore = memstore
memstore device bytes = 2147483648
run dir = {folder}/run
admin socket = {folder}/run/$cluster-$name.$pid.asok
log file = {folder}/run/$cluster-$name.log
pid file = {folder}/run/$name.pid
keyring = {folder}/keyring
mon data = {folder}/mon
osd data = {folder}/osd
[client.rgw.a]
rgw frontends = beast endpoint=127.0.0.1:{self.port}
rgw data = {folder}/rgw
""")
        self.run("ceph-authtool", "--create-keyring", folder / "keyring", "--gen-key", "-n", "mon.", "--cap", "mon",
                 "allow *")
        self.run("ceph-authtool", folder / "keyring", "--gen-key", "-n", "client.admin", "--cap", "mon", "allow *",
                 "--cap", "osd", "allow *", "--cap", "mds", "allow *", "--cap", "mgr", "allow *")
        self.run("monmaptool", "--create", "--addv", "a", f"[v1:127.0.0.1:{monitor}]", "--fsid", fsid,
                 folder / "monmap")
        self.run("ceph-mon", "--mkfs", "-i", "a", "--monmap", folder / "monmap", "--keyring", folder / "keyring")
        self.spawn("mon", "ceph-mon", "-f", "-i", "a", "--setuser", "root", "--setgroup", "root")
        self.wait("the monitor", lambda: listens(monitor))
        osd = uuid.uuid4()
        assert self.run("ceph", "osd", "new", osd, timeout=60).strip() == "0"
        self.run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd, "--setuser", "root", "--setgroup", "root",
                 timeout=60)
        self.spawn("osd", "ceph-osd", "-f", "-i", "0", "--setuser", "root", "--setgroup", "root")
        self.run("ceph", "osd", "crush", "add", "osd.0", "1.0", "host=h", "root=default", timeout=60)
        self.wait("the OSD", lambda: "1 up" in self.run("ceph", "osd", "stat", timeout=60))
        self.run("radosgw-admin", "user", "create", "--uid=t", "--display-name=t", f"--access-key={self.access_key}",
                 f"--secret-key={self.secret_key}", timeout=90)
        self.resume()

    def gateway(self) -> None:
        self.spawn("gateway", "radosgw", "-f", "-n", "client.rgw.a", "--setuser", "root", "--setgroup", "root")


class Swift(Engine):
    """OpenStack Swift with s3api, on one folder."""

    name = "swift"
    programs = ("swift-proxy-server", "swift-account-server", "swift-container-server", "swift-object-server",
                "swift-ring-builder", "memcached")

    def environment(self) -> dict[str, str]:
        return dict(super().environment(), PYTHONPATH=str(self.folder))

    def start(self) -> None:
        folder = self.folder
        ports = {name: free_port() for name in ("account", "container", "object")}
        memcached = free_port()
        (folder / "node" / "sdb1").mkdir(parents=True)
        # A digest's signature, 512 characters of metadata, is more than Swift takes unless it is told to.
        (folder / "swift.conf").write_text(
            "[swift-hash]\nswift_hash_path_prefix = a\nswift_hash_path_suffix = b\n"
            "[swift-constraints]\nmax_meta_value_length = 1024\n"
            "[storage-policy:0]\nname = gold\ndefault = yes\n")
        # Swift reads constraints from /etc/swift alone, before it learns of its own folder.
        (folder / "sitecustomize.py").write_text(f"""
from swift.common import constraints, utils
own, utils.SWIFT_CONF_FILE = utils.SWIFT_CONF_FILE, {str(folder / "swift.conf")!r}
constraints.reload_constraints()
utils.SWIFT_CONF_FILE = own
""")
        for name, port in ports.items():
            builder = folder / f"{name}.builder"
            self.run("swift-ring-builder", builder, "create", "4", "1", "0")
            self.run("swift-ring-builder", builder, "add", f"r1z1-127.0.0.1:{port}/sdb1", "1")
            self.run("swift-ring-builder", builder, "rebalance")
            (folder / f"{name}.conf").write_text(f"""[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
user = root
swift_dir = {folder}
devices = {folder}/node
mount_check = false
workers = 1
log_address =
[pipeline:main]
pipeline = {name}-server
[app:{name}-server]
use = egg:swift#{name}
""")
        # tempauth knows users as ACCOUNT:USER only. As a site's own authentication would, a filter says who the key is.
        (folder / "keymap.py").write_text(f'''
def factory(settings, **more):
    def wrapped(app):
        def answer(environ, start_response):
            details = environ.get("s3api.auth_details")
            if details and details.get("access_key") == {self.access_key!r}:
                details["access_key"] = "test:tester"
                environ["PATH_INFO"] = environ["PATH_INFO"].replace({self.access_key!r}, "test:tester", 1)
            return app(environ, start_response)
        return answer
    return wrapped
''')
        (folder / "proxy.conf").write_text(f"""[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {self.port}
user = root
swift_dir = {folder}
workers = 1
[pipeline:main]
pipeline = catch_errors proxy-logging cache listing_formats s3api keymap tempauth copy slo dlo symlink versioned_writes proxy-logging proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:proxy-logging]
use = egg:swift#proxy_logging
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:{memcached}
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
[filter:keymap]
paste.filter_factory = keymap:factory
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = {self.secret_key} .admin
[filter:copy]
use = egg:swift#copy
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
[filter:symlink]
use = egg:swift#symlink
[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_object_versioning = true
""")
        self.spawn("memcached", "memcached", "-u", "root", "-l", "127.0.0.1", "-p", memcached, "-U", "0")
        for name in ports:
            self.spawn(name, f"swift-{name}-server", folder / f"{name}.conf")
        self.wait("the storage servers", lambda: all(listens(port) for port in ports.values()))
        self.resume()

    def gateway(self) -> None:
        self.spawn("gateway", "swift-proxy-server", self.folder / "proxy.conf")


class Relay:
    """Passes connections on to a port, and can be taken away, or cut in the middle of what a client sends."""

    def __init__(self, target: int):
        self.target = target
        self.port = free_port()
        self.cuts: list[int] = []
        self.cut_count = 0
        self._lock = threading.Lock()
        self._pairs: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self.up()

    def up(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(64)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def down(self) -> None:
        """Nobody listens any more, and every connection ends where it is."""
        if self._listener is not None:
            # A thread that waits in accept keeps the port open until it is woken.
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        with self._lock:
            pairs, self._pairs = self._pairs, set()
        for connection in pairs:
            self._end(connection)

    def cut_after(self, *counts: int) -> None:
        """The next connections that send so many bytes end there."""
        with self._lock:
            self.cuts += counts

    @staticmethod
    def _end(connection: socket.socket) -> None:
        try:
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        connection.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.target), timeout=10)
                server.settimeout(None)
            except OSError:
                client.close()
                continue
            with self._lock:
                self._pairs |= {client, server}
            threading.Thread(target=self._pass, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._pass, args=(server, client, False), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, is_request: bool) -> None:
        sent = 0
        try:
            while True:
                piece = source.recv(65536)
                if not piece:
                    break
                if is_request:
                    with self._lock:
                        limit = self.cuts[0] if self.cuts and sent + len(piece) >= self.cuts[0] else None
                        if limit is not None:
                            self.cuts.pop(0)
                            self.cut_count += 1
                    if limit is not None:
                        target.sendall(piece[: max(limit - sent, 0)])
                        break
                target.sendall(piece)
                sent += len(piece)
        except OSError:
            pass
        for connection in (source, target):
            self._end(connection)
        with self._lock:
            self._pairs -= {source, target}

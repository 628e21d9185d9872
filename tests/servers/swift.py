"""A real S3 for tests: OpenStack Swift with its s3api, four processes on loopback, everything in one directory."""

from __future__ import annotations

import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import boto3
import psutil
from botocore.config import Config

from imgpool.scaleout.bucket import Bucket
from servers.ports import free_port
from servers.standing import STANDING
from serving import BROKEN, lives, wait_for

START_S = END_S = 120
BUCKET = "photos"
ACCESS_KEY, SECRET_KEY = "test:tester", "testing"
MISSING = None if find_spec("swift") else "OpenStack Swift is not installed: it comes with the extra imgpool[test]"

# One interpreter reads all of Swift's modules and then becomes four processes: reading them is what its start costs.
PROGRAM = """
import ctypes, importlib, os, signal, sys
from pathlib import Path
from swift.common.ring import RingBuilder
root, modules, ports = sys.argv[1], dict(pair.split("=") for pair in sys.argv[2].split(",")), sys.argv[3:]
mains = {kind: importlib.import_module(module).main for kind, module in modules.items()}
for ring, port in zip(("object", "container", "account"), ports):
    file = Path(root, ring + ".ring.gz")
    if not file.exists():
        builder = RingBuilder(1, 1, 1)
        device = {"region": 1, "zone": 1, "weight": 1.0, "ip": "127.0.0.1", "port": int(port), "device": "d"}
        builder.add_dev(device | {"replication_ip": "127.0.0.1", "replication_port": int(port), "meta": ""})
        builder.rebalance()
        builder.get_ring().save(str(file))
pids = [os.getpid()]
for kind in mains:
    if kind != "proxy":
        pids.append(os.fork())
        if pids[-1] == 0:
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # none is left when the first one is gone
            break
else:
    kind = "proxy"
    print(*pids, flush=True)
sys.argv = ["swift-" + kind + "-server", root + "/" + kind + ".conf", "verbose"]
with open(root + "/" + kind + ".log", "ab") as log:
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
sys.exit(mains[kind]())
"""
STORAGE = """
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
swift_dir = {root}
devices = {root}/devices
mount_check = false
fallocate_reserve = 0
disable_fallocate = true
{patience}

[pipeline:main]
pipeline = {kind}-server

[app:{kind}-server]
use = egg:swift#{kind}
"""
PROXY = """
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
swift_dir = {root}
{patience}

[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck s3api tempauth bulk slo proxy-server

[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true

[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
s3_acl = false
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
[filter:bulk]
use = egg:swift#bulk
[filter:slo]
use = egg:swift#slo
"""
# What one of its servers cannot tell another within half a second, or a second, on a machine that is busy, is left to a
# part of Swift that does not run here: a folder might be listed without its newest object.
PATIENCE = "conn_timeout = 60\nnode_timeout = 60\ncontainer_update_timeout = 60"
SERVERS = {
    "object": "swift.obj.server",
    "container": "swift.container.server",
    "account": "swift.account.server",
    "proxy": "swift.proxy.server",
}


class Swift:
    """`endpoint` speaks S3 from `start` to `stop`. `kill` is `kill -9`; `start` goes on with what is on the disk."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "devices" / "d").mkdir(parents=True)
        self._ports = dict(zip(SERVERS, [free_port() for _ in SERVERS], strict=True))
        self.endpoint = f"http://127.0.0.1:{self._ports['proxy']}"
        self._family: list[psutil.Process] = []
        (root / "swift.conf").write_text("[swift-hash]\nswift_hash_path_suffix = imgpool\n")
        for kind, port in self._ports.items():
            text = PROXY if kind == "proxy" else STORAGE
            (root / f"{kind}.conf").write_text(text.format(kind=kind, port=port, root=root, patience=PATIENCE))

    def start(self) -> None:
        ports = [str(self._ports[ring]) for ring in ("object", "container", "account")]
        modules = ",".join(f"{kind}={module}" for kind, module in SERVERS.items())
        self._process = process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", PROGRAM, str(self.root), modules, *ports],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        STANDING.add(process.pid)
        assert process.stdout is not None
        with process.stdout as told:
            self._family = [psutil.Process(int(pid)) for pid in told.readline().split()]
        limit = time.monotonic() + START_S
        while not self._answers():
            dead = [each.pid for each in self._family if not lives(each)]
            if dead or not self._family or time.monotonic() > limit:
                logs = "\n".join(path.read_text(errors="replace")[-2000:] for path in self.root.glob("*.log"))
                self.kill()
                raise AssertionError(f"Swift did not start ({dead}):\n{logs}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        for port in self._ports.values():
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/healthcheck", timeout=2).close()
            except urllib.error.HTTPError as error:  # the storage servers know no such path, and say so
                error.close()
            except BROKEN:
                return False
        return True

    def make_bucket(self) -> None:
        """The bucket of `folder`."""
        client = boto3.client("s3", endpoint_url=self.endpoint, config=Config(s3={"addressing_style": "path"}))
        client.create_bucket(Bucket=BUCKET)
        client.close()

    def folder(self) -> Bucket:
        """A new folder of the bucket, for one test alone."""
        return Bucket(f"s3://{BUCKET}/{secrets.token_hex(4)}", self.endpoint)

    def pids(self) -> list[int]:
        return [each.pid for each in self._family]

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self.thaw()
        self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """Connections are taken, and nothing is ever answered, until `thaw`."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: signal.Signals) -> None:
        for each in reversed(self._family):
            with suppress(psutil.NoSuchProcess):
                each.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        self._signal_all(number)
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(END_S)
        wait_for(lambda: not any(lives(each) for each in self._family), "the end of Swift", END_S)
        STANDING.discard(self._process.pid)
        self._family = []


@contextmanager
def running(root: Path) -> Iterator[Swift]:
    """A running Swift in a directory of its own."""
    server = Swift(root)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def credentials() -> dict[str, str]:
    """The environment for a program that uses it; no other of this machine's AWS settings counts."""
    others = dict.fromkeys(("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"), "/nonexistent")
    return {
        **others,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }

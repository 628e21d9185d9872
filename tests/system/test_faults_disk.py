"""Disks that are full, read-only or away, a store that others hold, no file descriptors: the service says so once,
loses nothing, and goes on by itself when the cause is gone. On real small filesystems.
"""

from __future__ import annotations

import os
import resource
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ledger import Ledger
from pictures import photo
from serving import BROKEN, WAIT_S, Server, wait_for
from stopwatch import Stopwatch

pytestmark = pytest.mark.alone

MIB = 1024**2
Mount = Callable[..., Path]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Mount]:
    """Mounts file systems of a given size."""
    mounted: list[Path] = []

    def mount(name: str, size_bytes: int) -> Path:
        path = tmp_path / name
        path.mkdir()
        run = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", path],
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode:
            pytest.skip(f"no small file system can be mounted here (it takes root's rights): {run.stderr}")
        mounted.append(path)
        return path

    yield mount
    for path in mounted:
        subprocess.run(["umount", path], check=True)


def fill(disk: Path, leave_bytes: int = 0) -> Path:
    filler = disk / "filler"
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    filler.write_bytes(b"\0" * (free - leave_bytes))
    return filler


def check_log(server: Server, words: str, most: int) -> None:
    assert not any("Traceback" in line for line in server.log), "\n".join(server.log)
    lines = [line for line in server.log if words in line]
    assert 1 <= len(lines) <= most, server.log


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.parametrize(
    ("step", "leave_bytes"),
    [("the original", 64 * 1024), ("its record", (len(photo()) + 4095) // 4096 * 4096)],
)
def test_a_disk_that_is_full_for_an_upload_refuses_it(
    tmp_path: Path, small_disk: Mount, step: str, leave_bytes: int
) -> None:
    data = small_disk("disk", 8 * MIB)
    options = ("--output-dir", str(tmp_path / "output"), "--workers", "1", "--disk-floor-bytes", "0")
    with Server(data, *options) as server:
        assert server.upload(photo())[0] == 202
        server.wait_until_settled()
        filler = fill(data, leave_bytes)
        status, answer, headers = server.upload(photo(seed=1))
        assert (status, answer["type"]) == (507, "/problems/disk-full"), step
        assert int(headers["Retry-After"]) > 0
        assert len(names(data / "originals")) == 1, "nothing is left of it"
        assert server.get("/api/status")["counts"]["accepted"] == 1
        filler.unlink()
        assert server.upload(photo(seed=2))[0] == 202
        assert server.wait_until_settled()["done"] == 2
        check_log(server, "an upload could not be stored", 1)
    ledger = Ledger(data)
    ledger.output = tmp_path / "output"
    ledger.check_settled()


@pytest.mark.parametrize("fault", ["full", "read-only"])
def test_an_output_directory_that_takes_no_variants_costs_time_and_no_image(
    tmp_path: Path, small_disk: Mount, fault: str
) -> None:
    output = small_disk("output", 4 * MIB)
    options = ("--output-dir", str(output), "--workers", "1", "--queue-capacity", "3", "--disk-floor-bytes", "0")
    with Server(tmp_path / "data", *options) as server:
        assert server.upload(photo())[0] == 202
        server.wait_until_settled()
        if fault == "full":
            filler = fill(output)
        else:
            subprocess.run(["mount", "-o", "remount,ro", output], check=True)
        statuses = [server.upload(photo(seed=seed))[0] for seed in range(6)]
        assert statuses[0] == 202
        assert statuses[-1] in (503, 507)
        wait_for(lambda: any("trying again" in line for line in server.log), "the log to say so")
        counts = server.get("/api/status")["counts"]
        assert (counts["done"], counts["failed"]) == (1, 0)
        if fault == "full":
            filler.unlink()
        else:
            subprocess.run(["mount", "-o", "remount,rw", output], check=True)
        counts = server.wait_until_settled()
        assert (counts["done"], counts["failed"]) == (1 + statuses.count(202), 0)
        assert server.upload(photo())[0] == 202
        server.wait_until_settled()
        check_log(server, "trying again", 8)
    ledger = Ledger(tmp_path / "data")
    ledger.output = output
    (output / "filler").unlink(missing_ok=True)
    ledger.check_settled()


def test_a_store_that_somebody_holds_refuses_uploads_and_delays_images(tmp_path: Path) -> None:
    with Server(tmp_path / "data", "--workers", "2", "--queue-capacity", "8") as server:
        assert server.upload(photo())[0] == 202
        server.wait_until_settled()
        with closing(sqlite3.connect(tmp_path / "data" / "imgpool.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with Stopwatch() as watch:
                status, answer, headers = server.upload(photo(seed=1))
            assert (status, answer["type"]) == (503, "/problems/store-failed")
            assert int(headers["Retry-After"]) > 0
            other.execute("ROLLBACK")
        assert watch.s < 8, watch.s
        assert len(names(tmp_path / "data" / "originals")) == 1
        assert server.upload(photo(seed=2))[0] == 202
        assert server.wait_until_settled()["done"] == 2
        check_log(server, "an upload could not be stored", 1)
    Ledger(tmp_path / "data").check_settled()
    print(f"\na locked store: 503 after {watch.s:.1f} s")


def test_images_wait_for_a_store_that_somebody_holds(tmp_path: Path) -> None:
    with Server(tmp_path / "data", "--workers", "1", "--queue-capacity", "8") as server:
        decoder = server.stopped_decoder()  # until the store is held: there has to be an end that it does not take
        for seed in range(4):
            assert server.upload(photo(seed=seed))[0] == 202
        wait_for(lambda: server.get("/api/status")["counts"]["processing"] == 1, "the worker to have an image")
        with closing(sqlite3.connect(tmp_path / "data" / "imgpool.db", isolation_level=None, timeout=WAIT_S)) as other:
            other.execute("BEGIN IMMEDIATE")
            decoder.resume()
            wait_for(lambda: any("trying again" in line for line in server.log), "a change that fails")
            assert server.status_of("/healthz") == 200
            other.execute("ROLLBACK")
        counts = server.wait_until_settled()
        assert (counts["done"], counts["failed"]) == (5, 0)
        assert not any("Traceback" in line for line in server.log)
    Ledger(tmp_path / "data").check_settled()


def test_too_many_open_files_cost_connections_and_nothing_that_was_accepted(tmp_path: Path) -> None:
    """Fewer file descriptors than connections: whoever says nothing makes room for whoever uploads."""
    limited = [
        sys.executable, "-c",
        "import os, resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (96, 96)); "
        "os.execv(sys.executable, [sys.executable, '-m', 'imgpool', *sys.argv[1:]])",
        "serve", "--port", "0", "--data-dir", str(tmp_path / "data"), "--workers", "1",
    ]  # fmt: skip
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 400
    with Server(tmp_path / "data", command=limited) as server:
        assert server.upload(photo())[0] == 202
        server.wait_until_settled()
        before = server.gunicorn_process()
        crowd = [socket.create_connection(("127.0.0.1", server.port), timeout=WAIT_S) for _ in range(200)]

        def taken() -> bool:
            try:
                return server.upload(photo(seed=1))[0] == 202
            except BROKEN:  # it had not said anything yet when the crowd was made to go
                return False

        wait_for(taken, "an upload to be taken beside the crowd")
        for sock in crowd:
            sock.close()
        assert server.upload(photo(seed=2))[0] == 202
        counts = server.wait_until_settled()
        assert counts["done"] == counts["accepted"] == 3
        assert server.gunicorn_process() == before, "the process has lived through it"
        assert not any("Traceback" in line for line in server.log), server.log
    Ledger(tmp_path / "data").check_settled()

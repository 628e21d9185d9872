"""Resumable uploads by client programs that others wrote, against the real server: cut, stopped, killed, waiting."""

from __future__ import annotations

import socket
import sys
import urllib.request
from pathlib import Path

import pytest

from halfway import Halfway
from pictures import photo
from servers.ports import free_port
from serving import PATIENT, Server, wait_for
from tus_clients import CLIENTS, WAIT_S, Client, packages  # noqa: F401 - a fixture

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def commands(packages: Path) -> dict[str, tuple[str, ...]]:  # noqa: F811
    return {
        "tus-js-client": ("node", str(CLIENTS / "upload.mjs"), str(packages)),
        "tuspy": (sys.executable, str(CLIENTS / "upload.py")),
    }


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("file") / "lake.png"
    path.write_bytes(photo(1400, 1000, file_format="PNG"))
    assert path.stat().st_size > 2 * MIB
    return path


def bytes_there(data_dir: Path) -> int:
    """How many bytes of the one unfinished upload are on the disk."""
    return sum(path.stat().st_size for path in (data_dir / "uploads").iterdir() if not path.suffix)


@pytest.mark.parametrize("what", ["cut", "stopped", "killed"])
@pytest.mark.parametrize("program", ["tus-js-client", "tuspy"])
def test_an_upload_goes_on_where_it_was(
    tmp_path: Path, file: Path, commands: dict[str, tuple[str, ...]], program: str, what: str
) -> None:
    data_dir = tmp_path / "data"
    options = ("--workers", "1", "--isolation", "thread", "--port", str(free_port()))
    options += ("--unfinished-slot-s", "600", *PATIENT)
    server = Server(data_dir, *options)
    server.start()
    try:
        with Halfway(server.port, after=MIB) as network:
            client = Client(*commands[program], f"{network.url}/api/uploads", str(file))
            assert network.reached.wait(WAIT_S)
            wait_for(lambda: bytes_there(data_dir) > MIB // 2, "the first half to be on the disk")
            assert server.get("/api/status")["unfinished"]["slots"] == 1
            if what == "killed":
                server.kill()
            elif what == "stopped":
                assert server.stop() == 0
            at_the_cut = bytes_there(data_dir)
            if what != "cut":
                server = Server(data_dir, *options)
                server.start()
                kept = server.get("/api/status")["unfinished"]
                assert (kept["uploads"], kept["announced_bytes"], kept["slots"]) == (1, file.stat().st_size, 0)
            network.cut()
            image_id = client.image_id()
        assert server.wait_until_settled()["done"] == 1
        image = server.get(f"/api/images/{image_id}")
        assert (image["state"], image["name"]) == ("done", "lake.png")
        assert (data_dir / "originals" / image_id).read_bytes() == file.read_bytes()
        assert list((data_dir / "uploads").iterdir()) == []
        assert at_the_cut > MIB // 2
        if program == "tus-js-client":
            offsets = [int(line.split()[2]) for line in client.lines if line.startswith("HEAD 200")]
            assert max(offsets) >= at_the_cut, "it went on, and did not begin again"
            print(f"\n{what}: cut at {at_the_cut} of {file.stat().st_size} bytes, went on at {max(offsets)}")
        since = server.get("/api/status")["since_start"]
        assert since == {"received": 1, "accepted": 1, "refused": 0}
    finally:
        server.stop()


def test_one_that_stood_still_is_told_to_wait_and_gets_a_slot_when_there_is_one(
    tmp_path: Path, file: Path, commands: dict[str, tuple[str, ...]]
) -> None:
    data_dir = tmp_path / "data"
    options = ("--workers", "1", "--isolation", "thread", "--queue-capacity", "1", "--unfinished-slot-s", "0.3")
    with Server(data_dir, *options, *PATIENT) as server:
        place = begin(server, file)
        wait_for(lambda: server.get("/api/status")["unfinished"]["slots"] == 0, "its slot to be given up")
        assert bytes_there(data_dir) == MIB
        with socket.create_connection(("127.0.0.1", server.port)) as other:
            other.sendall(b"POST /api/images HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n")
            wait_for(lambda: server.get("/api/status")["pool"]["queue"]["reserved"] == 1, "another to take the slot")
            client = Client(*commands["tus-js-client"], f"{server.url}/api/uploads", str(file), place)
            wait_for(lambda: "PATCH 503 -" in client.lines, "the client to be told to wait")
            assert bytes_there(data_dir) == MIB
        image_id = client.image_id()
        assert place.endswith(image_id)
        assert f"HEAD 200 {MIB}" in client.lines
        assert (data_dir / "originals" / image_id).read_bytes() == file.read_bytes()


def test_one_that_expired_is_gone_gives_the_disk_back_and_the_client_begins_again(
    tmp_path: Path, file: Path, commands: dict[str, tuple[str, ...]]
) -> None:
    data_dir = tmp_path / "data"
    options = ("--workers", "1", "--isolation", "thread")
    with Server(data_dir, *options, "--unfinished-slot-s", "0.3", "--unfinished-expire-s", "1") as server:
        place = begin(server, file)
        wait_for(lambda: not list((data_dir / "uploads").iterdir()), "the disk to be given back")
        wait_for(lambda: server.get("/api/status")["refused_by"] == {"expired": 1}, "it to be counted")
    with Server(data_dir, *options) as server:  # where the client has all the time that it needs
        place = f"{server.url}/{place.split('/', 3)[3]}"
        client = Client(*commands["tus-js-client"], f"{server.url}/api/uploads", str(file), place)
        image_id = client.image_id()
        assert "HEAD 404 -" in client.lines
        assert not place.endswith(image_id)
        assert (data_dir / "originals" / image_id).read_bytes() == file.read_bytes()


def begin(server: Server, file: Path) -> str:
    """Create an upload and send its first MiB; returns its address."""
    headers = {
        "Tus-Resumable": "1.0.0",
        "Upload-Length": str(file.stat().st_size),
        "Content-Type": "application/offset+octet-stream",
    }
    request = urllib.request.Request(f"{server.url}/api/uploads", file.read_bytes()[:MIB], headers, method="POST")
    with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
        assert answer.headers["Upload-Offset"] == str(MIB), "they are kept"
        return f"{server.url}{answer.headers['Location']}"

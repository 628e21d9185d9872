"""Hostile images against the decoder child, with its limits, and against the real server: each ends with the right
status or a reason, and costs no more than the limits, no worker and no server."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from fuzz.seeds import PICTURES
from hostile import HOSTILE, cut, flipped
from imgpool.errors import ImageTooLarge, ImagingError
from imgpool.imaging.formats import SNIFF_BYTES, check_header, sniff
from imgpool.imaging.memory import memory_needed
from imgpool.imaging.model import Limits
from imgpool.imaging.recipe import parse_recipe
from imgpool.imaging.sandbox import InChild
from imgpool.pool import Context
from serving import SAMPLES, WAIT_S, Server

pytestmark = pytest.mark.alone

TIMEOUT_S = 60.0  # a stop, on a machine that others use as well; what counts is the CPU time
CPU_LIMIT_S = 5.0
MEMORY = 512 * 2**20
SHOWN_MS = 100  # of CPU time: what a header may cost the web process
RECIPE = parse_recipe("large=fit:1600x1600,thumb=fit:256x256")


class Sandbox:
    """A decoder child with narrow limits, and what it says of a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.child = InChild(RECIPE, Limits(), lambda: MEMORY, sync=False)
        self.child.start()

    def __call__(self, content: bytes, timeout_s: float = TIMEOUT_S) -> str:
        """Put it through: "done", or the reason. Nothing but an `ImagingError` passes, and nothing stays half made."""
        original, into = self.folder / "original", self.folder / "out"
        original.write_bytes(content)
        into.mkdir()
        try:
            made = self.child.process(original, into, timeout_s=timeout_s, cancelled=Context())
            assert sorted(path.name for path in into.iterdir()) == sorted(each.filename for each in made.variants)
            for each in made.variants:
                assert b"alert(1)" not in (into / each.filename).read_bytes()
                (into / each.filename).unlink()
            return "done"
        except ImagingError as error:
            return str(error)
        finally:
            into.rmdir()  # fails when anything is left in it

    def cpu_s(self) -> float:
        """CPU seconds of the child so far."""
        return sum(psutil.Process(self.child.pid).cpu_times()[:2])


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    sandbox = Sandbox(tmp_path_factory.mktemp("sandbox"))
    yield sandbox
    sandbox.child.close()


def refusal(path: Path) -> int | None:
    """What the web process does on seeing the file, by its rules: a status, or None when it is taken."""
    content = path.read_bytes()
    if not content:
        return 400
    if sniff(content[:SNIFF_BYTES]) is None:
        return 415
    try:
        check_header(path, Limits())
        memory_needed(path, RECIPE)
    except ImageTooLarge:
        return 422
    return None


@pytest.mark.parametrize("name", HOSTILE)
def test_each_in_the_sandbox(sandbox: Sandbox, tmp_path: Path, name: str) -> None:
    hostile = HOSTILE[name]
    content = hostile.make()
    (tmp_path / "file").write_bytes(content)
    began = time.thread_time()
    status = refusal(tmp_path / "file")
    header_ms = 1000 * (time.thread_time() - began)
    assert header_ms < SHOWN_MS + len(content) / 1e6  # reading the file for `sniff` is this test's own
    assert status == (hostile.ends if isinstance(hostile.ends, int) else None)

    before, began = sandbox.child.pid, sandbox.cpu_s()
    said = sandbox(content)
    assert sandbox.child.pid == before, f"it cost a decoder: {said}"
    took = sandbox.cpu_s() - began
    assert took < CPU_LIMIT_S, f"it took {took:.1f} s of CPU"
    print(f"\n{name}: {len(content):,} bytes, header {header_ms:.1f} ms, {took:.2f} s of CPU: {said}")
    if isinstance(hostile.ends, str):
        assert hostile.ends in said
    assert said == "done" or said.endswith(".")


def test_every_sample_damaged(sandbox: Sandbox) -> None:
    """Cut short and with bits turned: done (the damage was slight) or failed with a reason, by a child that lives."""
    before = sandbox.child.pid
    ends: dict[str, int] = {}
    for seed, path in enumerate(PICTURES):
        content = path.read_bytes()
        # Large photos take a tenth of a second each: fewer. `tests/fuzz/run.py --samples` has patience for more.
        number = 2 if len(content) > 300_000 else 8
        for broken in cut(content, seed, number) + flipped(content, seed, number):
            said = sandbox(broken)
            ends[said] = ends.get(said, 0) + 1
    assert sandbox.child.pid == before
    assert ends.pop("done") > 5
    assert ends
    print("", *(f"{number:4d}  {said}" for said, number in sorted(ends.items(), key=lambda end: -end[1])), sep="\n")


def test_the_server_takes_them_all_and_lives(tmp_path: Path) -> None:
    """All of them at once in one form, then each status and reason; the next good picture is done."""
    contents = {name: hostile.make() for name, hostile in HOSTILE.items()}
    contents = {name: content for name, content in contents.items() if len(content) < 5_000_000}
    options = ("--workers", "2", "--job-timeout-s", str(TIMEOUT_S), "--job-memory-bytes", "512MiB")
    with Server(tmp_path / "data", *options) as server:
        server.decoders(2)
        children = {process.pid for process in server.family()}
        answer = upload_form(server, contents)
        assert server.wait_until_settled()["queued"] == 0
        assert {each["name"]: each["status"] for each in answer["refused"]} == {
            name: hostile.ends
            for name, hostile in HOSTILE.items()
            if name in contents and isinstance(hostile.ends, int)
        }
        images = {image["name"]: image for image in server.get("/api/images?limit=200")["images"]}
        assert set(images) == {name for name in contents if isinstance(HOSTILE[name].ends, str)}
        for name, image in images.items():
            ends = HOSTILE[name].ends
            assert image["state"] == ("done" if ends == "done" else "failed"), (name, image["error"])
            assert ends == "done" or ends in image["error"], name
            left = sorted(path.name for path in (server.data_dir / "output").glob(f"{image['id']}/*"))
            assert len(left) == len(image["variants"]) == (2 if ends == "done" else 0), name
        assert {process.pid for process in server.family()} == children, "a process had to be replaced"
        resident = sum(psutil.Process(pid).memory_info().rss for pid in children)
        print(f"\n{len(contents)} files, {len(images)} taken; {resident / 2**20:.0f} MiB in all processes afterwards")
        assert resident < 2 * MEMORY
        assert server.upload((SAMPLES / "tiny-16x16.png").read_bytes())[0] == 202
        assert server.wait_until_settled()["done"] == 1 + sum(image["state"] == "done" for image in images.values())


def upload_form(server: Server, contents: dict[str, bytes]) -> Any:
    """Send all of them as parts of one form; return the answer's JSON."""
    edge = "sVkf6rT0pQ"
    body = (
        b"".join(
            f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode()
            + content
            + b"\r\n"
            for name, content in contents.items()
        )
        + f"--{edge}--\r\n".encode()
    )
    head = (
        f"POST /api/images HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
        f"Content-Type: multipart/form-data; boundary={edge}\r\n\r\n"
    )
    with closing(socket.create_connection(("127.0.0.1", server.port), timeout=WAIT_S)) as sock:
        sock.sendall(head.encode() + body)
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    return json.loads(answer.split(b"\r\n\r\n", 1)[1])

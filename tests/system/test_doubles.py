"""The teaching doubles: they do the same work as imgpool, and fail at overload as such servers do."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from serving import BROKEN, END_S, SAMPLES, WAIT_S, Server, wait_for

PHOTO = SAMPLES / "mountain-lake.jpg"


def double(name: str, data_dir: Path, *options: str) -> Server:
    module = f"imgpool.learn.doubles.{name}"
    return Server(data_dir, command=[sys.executable, "-m", module, "--data-dir", str(data_dir), *options])


def state(server: Server, image_id: str) -> Any:
    return server.get(f"/api/images/{image_id}")["state"]


@pytest.mark.parametrize("name", ["thread_per_upload", "unbounded_executor"])
def test_a_double_makes_the_variants_of_what_it_accepts(tmp_path: Path, name: str) -> None:
    with double(name, tmp_path / "data", "--memory-bytes", "2GiB") as server:
        assert server.log == [f"{name}: serving on {server.url}"]
        status, answer, _ = server.upload(PHOTO.read_bytes())
        assert status == 202
        good = answer["images"][0]["id"]
        form = ["curl", "-sSf", "-F", f"file=@{SAMPLES / 'hostile/truncated.jpg'}", f"{server.url}/api/images"]
        bad = json.loads(subprocess.run(form, check=True, capture_output=True, timeout=WAIT_S).stdout)["images"][0][
            "id"
        ]

        wait_for(lambda: state(server, good) == "done", "the photo to be done")
        wait_for(lambda: state(server, bad) == "failed", "the damaged photo to fail")
        found = server.get("/api/status")
        assert {key: found[key] for key in ("accepted", "done", "failed", "in_flight")} == {
            "accepted": 2, "done": 1, "failed": 1, "in_flight": 0,
        }  # fmt: skip
        assert found["memory_bytes"] > 20_000_000
        assert server.status_of("/api/images/0") == 404
        made = sorted(path.name for path in (tmp_path / "data" / f"{good}-variants").iterdir())
        assert made == ["large.jpg", "thumb.jpg"]
        server.process.send_signal(signal.SIGINT)  # Ctrl-C: without a traceback
        server.process.wait(END_S)
        assert "Traceback" not in "\n".join(server.log)


def test_a_flood_kills_the_thread_per_upload_at_its_memory_limit(tmp_path: Path) -> None:
    photo = PHOTO.read_bytes()

    def upload(server: Server) -> int:
        try:
            return server.upload(photo)[0]
        except BROKEN:
            return 0

    with (
        double("thread_per_upload", tmp_path / "data", "--memory-bytes", "128MiB") as server,
        ThreadPoolExecutor(40) as clients,
    ):
        answers = list(clients.map(upload, [server] * 80))
        assert server.process.wait(END_S) == -signal.SIGKILL
    assert 202 in answers
    assert 0 in answers


def test_a_memory_limit_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    command = double("thread_per_upload", tmp_path, "--memory-bytes", "lots").command
    run = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S)
    assert run.returncode == 2
    assert "--memory-bytes: 'lots' is not allowed; allowed: bytes, as 67108864 or 64MiB" in run.stderr

"""The same application under a gunicorn and a Flask that a person starts: same life, from recovery to drain."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pictures import photo
from servers.ports import free_port
from serving import WAIT_S, Server

BIN = Path(sys.executable).parent


def by_hand(kind: str, data_dir: Path) -> Server:
    env = {"IMGPOOL_DATA_DIR": str(data_dir), "IMGPOOL_WORKERS": "1"}
    if kind == "gunicorn":
        command = [str(BIN / "gunicorn"), "-c", "python:imgpool.server.gunicorn_conf", "imgpool.web:create_app()"]
        return Server(data_dir, command=command, IMGPOOL_PORT="0", **env)
    command = [str(BIN / "flask"), "--app", "imgpool.web:create_app", "run", "--port", str(free_port())]
    return Server(data_dir, command=command, serving=" * Running on ", **env)


@pytest.mark.parametrize("kind", ["gunicorn", "flask"])
def test_uploads_are_processed_and_finished_at_the_end(kind: str, tmp_path: Path) -> None:
    with by_hand(kind, tmp_path / "data") as server:
        for seed in range(4):
            assert server.upload(photo(seed=seed))[0] == 202
        assert server.stop() == 0
    with by_hand(kind, tmp_path / "data") as server:
        counts = server.get("/api/status")["counts"]
        assert (counts["accepted"], counts["done"]) == (4, 4), "the drain finished them"


@pytest.mark.parametrize("kind", ["gunicorn", "flask"])
def test_what_a_kill_left_queued_is_taken_up_before_any_request(kind: str, tmp_path: Path) -> None:
    with by_hand(kind, tmp_path / "data") as server:
        for seed in range(6):
            assert server.upload(photo(2400, 1800, seed=seed))[0] == 202
        server.kill()
    with by_hand(kind, tmp_path / "data") as server:
        assert server.wait_until_settled()["done"] == 6


def test_gunicorn_refuses_a_bad_setting_at_the_start(tmp_path: Path) -> None:
    done = subprocess.run(
        [str(BIN / "gunicorn"), "-c", "python:imgpool.server.gunicorn_conf", "imgpool.web:create_app()"],
        env={"PATH": "/usr/bin:/bin", "IMGPOOL_DATA_DIR": str(tmp_path / "data"), "IMGPOOL_WORKERS": "many"},
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("imgpool: IMGPOOL_WORKERS: 'many' is not allowed; allowed: ")
    assert len(done.stderr.splitlines()) == 1


def test_gunicorn_refuses_tls_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").touch()
    command = [str(BIN / "gunicorn"), "-c", "python:imgpool.server.gunicorn_conf", "--certfile", "cert.pem"]
    done = subprocess.run(
        [*command, "imgpool.web:create_app()"],
        env={**os.environ, "IMGPOOL_DATA_DIR": str(tmp_path / "data"), "IMGPOOL_PORT": "0"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("imgpool: --certfile: TLS is not spoken here")
    assert len(done.stderr.splitlines()) == 1

"""`imgpool load` and the locustfile, against a real server, with few uploads."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from serving import SAMPLES, WAIT_S, Server

pytestmark = pytest.mark.alone

TOKEN = "a-token-for-tests"
IMGPOOL = [sys.executable, "-m", "imgpool"]
PHOTOS = ["--images", str(SAMPLES / "mountain-lake.jpg"), "--images", str(SAMPLES / "city.webp")]


def run(*arguments: str, status: int = 0, **env: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*IMGPOOL, "load", *arguments],
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        env={**os.environ, **env},
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done


def result_of(server: Server, *arguments: str) -> Any:
    return json.loads(run(server.url, "--json", "-", *arguments).stdout)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with Server(tmp_path_factory.mktemp("load"), "--queue-capacity", "4", "--workers", "1") as running:
        yield running


def test_arrivals_beyond_what_the_server_can_do(server: Server, tmp_path: Path) -> None:
    """Each of the arrivals is accounted for, and the server's own counters say the same."""
    before = server.get("/api/status")
    files = ["--report", str(tmp_path / "report.html"), "--json", str(tmp_path / "result.json")]
    shown = run(server.url, "--rate", "5,120", "--hold-s", "1.5", "--client", "once", *PHOTOS, *files)
    result = json.loads((tmp_path / "result.json").read_text())
    after = server.get("/api/status")

    due = result["uploads"]["due"]
    assert due == pytest.approx(5 * 1.5 + 120 * 1.5, abs=2)
    answers = result["answers"]
    assert answers["accepted"] + answers["refused"] == due
    assert answers["reset"] == answers["unanswered"] == answers["unreachable"] == 0
    assert answers["refused"] > 20
    assert result["refused_by"] == {"no_room": answers["refused"]}
    assert result["ended"] == {"done": answers["accepted"], "failed": 0, "lost": 0, "unfinished": 0}
    assert after["counts"]["done"] - before["counts"]["done"] == answers["accepted"]
    assert after["since_start"]["refused"] - before["since_start"]["refused"] == answers["refused"]

    latency = result["latency_s"]
    assert latency["end_to_end"]["count"] == answers["accepted"]
    assert latency["acceptance"]["p50"] < latency["end_to_end"]["p50"]
    assert max(each["queue"] for each in result["server"]) <= 4
    assert max(each["memory_bytes"] for each in result["server"]) > 50 * 1024**2
    assert any(each["cpu"] for each in result["server"])
    assert "goodput" in shown.stdout
    assert "refused" in shown.stderr, "progress, in plain lines where there is no terminal"
    assert "\r" not in shown.stderr
    assert "Over time" in (tmp_path / "report.html").read_text()


def test_users_of_every_kind_at_once(server: Server) -> None:
    kinds = ["polite", "impatient", "rude", "slow"]
    clients = [word for kind in kinds for word in ("--client", kind)]
    result = result_of(server, "--users", "8", "--ramp-s", "0.5", "--hold-s", "2", *clients, *PHOTOS)
    assert result["answers"]["accepted"] > 0
    assert result["answers"]["refused"] > 0
    assert result["answers"]["reset"] == 0
    assert result["uploads"]["due"] == result["uploads"]["accepted"] + result["uploads"]["gave_up"]
    assert result["ended"]["done"] == result["answers"]["accepted"]


def test_users_who_wait_for_their_image_never_meet_a_full_queue(server: Server) -> None:
    result = result_of(server, "--users", "3", "--until-done", "--hold-s", "2", *PHOTOS)
    assert result["answers"]["refused"] == 0
    assert result["ended"]["done"] == result["uploads"]["due"] > 3
    assert max(each["queue"] for each in result["server"]) <= 3


def test_what_no_server_takes_is_refused_by_reason_and_not_tried_again(server: Server) -> None:
    readme = str(SAMPLES / "README.md")
    result = result_of(server, "--rate", "10", "--hold-s", "0.5", "--images", readme)
    assert result["refused_by"] == {"unsupported_format": result["uploads"]["due"]}


def test_an_image_that_fails_is_counted_as_failed_with_its_reason(server: Server) -> None:
    damaged = str(SAMPLES / "hostile/truncated.jpg")
    result = result_of(server, "--rate", "2", "--hold-s", "1", "--images", damaged)
    assert result["ended"]["failed"] == result["uploads"]["due"] == 2
    assert sum(result["failures"].values()) == 2


def test_on_a_terminal_one_line_is_rewritten(server: Server) -> None:
    main, terminal = pty.openpty()
    command = [*IMGPOOL, "load", server.url, "--rate", "4", "--hold-s", "1", *PHOTOS]
    with subprocess.Popen(command, stderr=terminal, stdout=subprocess.DEVNULL) as process:
        os.close(terminal)
        shown = b""
        while True:
            try:
                shown += os.read(main, 4096)
            except OSError:  # the other end is closed
                break
        assert process.wait(WAIT_S) == 0
    os.close(main)
    assert shown.count(b"\r") > 3
    assert b"accepted" in shown


def test_ctrl_c_ends_the_test_and_tells_what_was_measured(server: Server) -> None:
    command = [*IMGPOOL, "load", server.url, "--rate", "20", "--hold-s", "60", *PHOTOS[2:]]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        process.stderr.readline()  # it has begun
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=WAIT_S)
    assert process.returncode in (0, 1)  # 1 when it was so early that nothing had an answer
    assert "interrupted after" in out
    assert re.search(r"^client .*the bottleneck", out, re.MULTILINE | re.IGNORECASE)  # or not: as the machine is loaded


def test_a_server_with_a_token(tmp_path: Path) -> None:
    arguments = ["--rate", "4", "--hold-s", "0.5", *PHOTOS]
    with Server(tmp_path, "--token", TOKEN) as server:
        assert "give --token" in run(server.url, *arguments, status=2).stderr
        given = run(server.url, *arguments, "--json", "-", IMGPOOL_TOKEN=TOKEN)
        assert json.loads(given.stdout)["ended"]["done"] == 2


def test_a_server_that_dies_loses_what_it_had_accepted(tmp_path: Path) -> None:
    """The report is about the death, and comes in time."""
    module = "imgpool.learn.doubles.thread_per_upload"
    options = ["--data-dir", str(tmp_path / "data"), "--memory-bytes", "96MiB"]
    with Server(tmp_path, command=[sys.executable, "-m", module, *options]) as server:
        result = result_of(server, "--rate", "100", "--hold-s", "2", "--client", "once", *PHOTOS[:2])
    assert result["ended"]["lost"] > 0
    assert result["answers"]["unreachable"] + result["answers"]["reset"] > 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["http://192.0.2.1:8000"], "--yes-this-is-my-server"),
        (["http://127.0.0.1:1"], "does not answer"),
        (["nonsense://x"], "is no server's address"),
        (["http://127.0.0.1:1", "--users", "0"], "--users: '0' is not allowed"),
        (["http://127.0.0.1:1", "--rate", "1", "--until-done"], "--until-done is for --users"),
        (["http://127.0.0.1:1", "--images", "/nowhere"], "'/nowhere' cannot be read"),
        (["http://127.0.0.1:1", "--report", "/nowhere/report.html"], "'/nowhere/report.html' cannot be written"),
    ],
)
def test_what_cannot_be_tested_is_said_in_one_line(arguments: list[str], said: str) -> None:
    done = run(*arguments, status=2)
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


EXTENDED = """
import gevent
from locust import task

from imgpool.load.locustfile import *


class Photographer(PoliteUser):
    begun = 0

    def on_start(self):
        self.look()
        self.upload_a_picture()
        Photographer.begun += 1
        if Photographer.begun == 2:  # then the test is over, however long that took
            gevent.spawn(self.environment.runner.quit)

    @task
    def look(self):
        connection = self.session.target.connect()
        assert self.session.target.get(connection, "/status")[0] == 200
        connection.close()
        print("looked at the status page")
"""


def test_locusts_own_command_with_a_locustfile_that_extends_ours(server: Server, tmp_path: Path) -> None:
    (tmp_path / "locustfile.py").write_text(EXTENDED)
    command = [sys.executable, "-m", "locust", "-f", str(tmp_path / "locustfile.py"), "-H", server.url]
    options = ["--headless", "-u", "2", "-r", "10", "-t", "100s", "--images", str(SAMPLES / "city.webp"), "--"]
    done = subprocess.run(
        [*command, *options, "Photographer"], capture_output=True, text=True, timeout=WAIT_S, cwd=tmp_path, check=False
    )
    assert "looked at the status page" in done.stdout + done.stderr
    assert "/api/images (polite)" in done.stdout + done.stderr, "in Locust's own statistics"
    assert "goodput" in done.stdout
    assert "Traceback" not in done.stderr


def test_the_service_never_loads_gevent() -> None:
    code = "import sys, imgpool.cli, imgpool.web, imgpool.server.application; sys.exit('gevent' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=WAIT_S)

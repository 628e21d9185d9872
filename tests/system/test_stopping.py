"""SIGTERM and Ctrl-C: the first one drains, a second one stops at once; neither loses anything or blames an image."""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

from ledger import Ledger
from pictures import photo
from rawhttp import connect, read_answer
from serving import WAIT_S, Server, wait_for
from stopwatch import Stopwatch

pytestmark = pytest.mark.alone

CAPACITY = 16


def filled(data_dir: Path, *options: str) -> tuple[Server, list[str]]:
    """A server whose one worker has an image that takes for ever, and whose queue is full."""
    server = Server(data_dir, "--workers", "1", "--queue-capacity", str(CAPACITY), *options)
    server.start()
    server.stopped_decoder()
    ids = [image["id"] for image in server.get("/api/images")["images"]]
    for _ in range(CAPACITY + 2):  # one more than it takes
        status, answer, _ = server.upload(photo(), "slow.jpg")
        if status == 503:
            return server, ids
        ids.append(answer["images"][0]["id"])
    raise AssertionError("the queue takes more than its capacity")


def ask(connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
    connection.request("GET", "/healthz")
    answer = connection.getresponse()
    assert answer.read()
    return answer


def ask_until_it_stops(asking: http.client.HTTPConnection) -> None:
    """Until a signal has arrived: then an answer says that the connection ends. It may also just end, for a client that
    does not ask again for a quarter of a second.
    """
    limit = time.monotonic() + WAIT_S
    with closing(asking), suppress(ConnectionError, http.client.HTTPException):
        while not ask(asking).will_close:
            assert time.monotonic() < limit, "the signal has no effect"


def check_all_done_after_the_next_start(data_dir: Path, ids: list[str]) -> None:
    with Server(data_dir, "--workers", "2") as server:
        counts = server.wait_until_settled(120)
        assert (counts["done"], counts["failed"], counts["accepted"]) == (len(ids), 0, len(ids))
        for image_id in ids:
            image = server.get(f"/api/images/{image_id}")
            assert (image["state"], image["attempts"]) == ("done", 1), "a hand-over is not an attempt"
    Ledger(data_dir).check_settled()


def test_a_full_queue_is_handed_over_within_the_drain_limit(tmp_path: Path) -> None:
    server, ids = filled(tmp_path / "data", "--drain-timeout-s", "2.5")
    # Requests that have begun before the signal: new connections are not taken after it.
    asking = http.client.HTTPConnection("127.0.0.1", server.port, timeout=WAIT_S)
    ask(asking)
    begun = [socket.create_connection(("127.0.0.1", server.port), timeout=WAIT_S) for _ in range(2)]
    begun[0].sendall(b"GET /readyz HTTP/1.1\r\n")
    begun[1].sendall(b"POST /api/images HTTP/1.1\r\n")
    assert server.status_of("/healthz") == 200  # both have been taken
    family = server.family()
    with Stopwatch() as watch:
        server.process.send_signal(signal.SIGTERM)
        ask_until_it_stops(asking)  # the two have not been given up yet
        answers = []
        for sock in begun:
            sock.sendall(b"Host: localhost\r\nContent-Length: 0\r\n\r\n")
            with sock, sock.makefile("rb") as answer:
                answers.append(answer.read())
        assert answers[0].startswith(b"HTTP/1.1 503 ")
        assert answers[1].startswith(b"HTTP/1.1 503 ")
        assert b"/problems/draining" in answers[1]
        assert b"Retry-After: 5" in answers[1]
        assert server.process.wait(WAIT_S) == 0
    assert watch.s < 2.5 + 3, watch.s
    server.wait_until_gone(family)
    rows, _ = Ledger(tmp_path / "data").read()
    left = sum(row.state == "queued" for row in rows.values())
    assert left > 0
    assert all(row.state != "processing" for row in rows.values()), "handed back"
    check_all_done_after_the_next_start(tmp_path / "data", ids)
    print(f"\nstopped after {watch.s:.1f} s with a drain limit of 2.5 s; {left} of {len(ids)} left to the next start")


@pytest.mark.parametrize(
    ("first", "second", "to_group"),
    [
        (signal.SIGTERM, signal.SIGTERM, False),
        (signal.SIGINT, signal.SIGINT, True),  # as a terminal does
        (signal.SIGTERM, signal.SIGINT, False),
    ],
)
def test_a_second_signal_stops_at_once_and_loses_nothing(
    tmp_path: Path, first: signal.Signals, second: signal.Signals, to_group: bool
) -> None:
    server, ids = filled(tmp_path / "data", "--drain-timeout-s", "60")
    asking = http.client.HTTPConnection("127.0.0.1", server.port, timeout=WAIT_S)
    ask(asking)
    family = server.family()
    receivers = family[: 2 if to_group else 1]
    for process in receivers:
        process.send_signal(first)
    ask_until_it_stops(asking)
    assert server.process.poll() is None, "the first one drains"
    with Stopwatch() as watch:
        for process in receivers:
            process.send_signal(second)
        assert server.process.wait(WAIT_S) == 0
    server.wait_until_gone(family)
    assert watch.s < 2.5, watch.s
    rows, _ = Ledger(tmp_path / "data").read()
    assert all(row.state in ("queued", "done") for row in rows.values())
    assert sum(row.state == "queued" for row in rows.values()) >= CAPACITY // 2
    check_all_done_after_the_next_start(tmp_path / "data", ids)
    print(f"\nstopped {watch.s:.2f} s after the second signal")


def test_a_signal_that_meets_a_gunicorn_process_while_it_starts_is_not_lost(tmp_path: Path) -> None:
    """The master passes it on once, and would kill the process after the time to drain."""
    early = str(Path(__file__).parent.parent / "early_stop_server.py")
    command = [sys.executable, early, "--port", "0", "--data-dir", str(tmp_path), "--drain-timeout-s", "600"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert done.returncode == 0, done.stderr


def test_open_pages_are_hardly_waited_for_and_a_request_on_its_way_is_answered(tmp_path: Path) -> None:
    with Server(tmp_path / "data", "--workers", "1", "--isolation", "thread") as server:
        idle, asking = (http.client.HTTPConnection("127.0.0.1", server.port, timeout=WAIT_S) for _ in range(2))
        ask(idle)
        assert not ask(asking).will_close
        with Stopwatch() as watch:
            server.process.send_signal(signal.SIGTERM)
            ask_until_it_stops(asking)
            assert idle.sock is not None
            assert idle.sock.recv(1) == b"", "closed by the server"
            idle.close()
            assert server.process.wait(WAIT_S) == 0
    assert watch.s < 2, watch.s  # 3.3 s with gunicorn's own patience; 0.5 s on a quiet machine


def test_a_silent_resumable_upload_is_not_waited_for_and_goes_on_at_the_next_start(tmp_path: Path) -> None:
    """A laptop that was closed would hold the stop for --read-timeout-s otherwise."""
    options = ("--workers", "1", "--isolation", "thread", "--read-timeout-s", "20")
    picture = photo()
    tus = b"Host: localhost\r\nTus-Resumable: 1.0.0\r\n"
    with Server(tmp_path / "data", *options) as server:
        with closing(connect(server)) as sock:
            sock.sendall(b"POST /api/uploads HTTP/1.1\r\n%sUpload-Length: %d\r\n\r\n" % (tus, len(picture)))
            status, headers, _ = read_answer(sock)
            assert status == 201
        place = headers["location"].encode()
        bytes_there = tmp_path / "data" / "uploads" / headers["location"].split("/")[-1]
        with closing(connect(server)) as sock:
            kind = b"Content-Type: application/offset+octet-stream\r\nUpload-Offset: 0"
            announced = b"%s\r\nContent-Length: %d\r\n\r\n" % (kind, len(picture))
            sock.sendall(b"PATCH %s HTTP/1.1\r\n%s%s" % (place, tus, announced) + picture[:5000])
            wait_for(lambda: bytes_there.exists() and bytes_there.stat().st_size == 5000, "the bytes to be there")
            with Stopwatch() as watch:
                server.process.send_signal(signal.SIGTERM)
                status, headers, _ = read_answer(sock, "PATCH")
                sock.close()
                assert server.process.wait(WAIT_S) == 0
            assert (status, headers["retry-after"]) == (503, "5")
    assert watch.s < 8, "neither the 20 s of the read timeout nor the 25 s of the drain"
    print(f"\nstopped after {watch.s:.1f} s")
    with Server(tmp_path / "data", *options) as again, closing(connect(again)) as sock:
        sock.sendall(b"HEAD %s HTTP/1.1\r\n%s\r\n" % (place, tus))
        status, headers, _ = read_answer(sock, "HEAD")
        assert (status, headers["upload-offset"]) == (200, "5000")

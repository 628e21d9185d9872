"""Refusals as clients meet them, on raw sockets: early, with an answer that can be read, and never a reset."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from pictures import photo
from rawhttp import connect, head, read_answer
from serving import PATIENT, WAIT_S, Server, wait_for
from stopwatch import Stopwatch

pytestmark = pytest.mark.alone

BODY = photo(3000, 2250)


@pytest.fixture
def full(tmp_path: Path) -> Server:  # type: ignore[misc]
    """A server whose only slot is held by an upload that has not sent its body yet."""
    with (
        Server(tmp_path / "data", "--workers", "1", "--queue-capacity", "1", *PATIENT) as server,
        closing(connect(server)) as holder,
    ):
        holder.sendall(head(len(BODY)) + BODY[:1000])
        wait_for(lambda: server.get("/api/status")["pool"]["queue"]["reserved"] == 1, "the slot to be held")
        yield server
        holder.sendall(BODY[1000:])
        assert read_answer(holder)[0] == 202, "a held slot can always be sent"
        assert server.wait_until_settled()["done"] == 1


def test_without_a_slot_the_refusal_comes_before_the_body(full: Server) -> None:
    with closing(connect(full)) as sock:
        asked = time.monotonic()
        sock.sendall(head(len(BODY)))
        status, headers, body = read_answer(sock)
        print(f"\nrefused {1000 * (time.monotonic() - asked):.1f} ms after the headers, no byte of the body sent")
    assert status == 503
    assert headers["content-type"] == "application/problem+json"
    assert 1 <= int(headers["retry-after"]) <= 120
    problem = json.loads(body)
    assert (problem["status"], problem["type"]) == (503, "/problems/no-room")
    assert "place" in problem["detail"]


def test_clients_that_send_the_whole_body_regardless_read_the_refusal(full: Server) -> None:
    statuses = []

    def rude(_: int) -> None:
        client = http.client.HTTPConnection("127.0.0.1", full.port, timeout=WAIT_S)
        with closing(client):
            client.request("POST", "/api/images", body=BODY)
            statuses.append(client.getresponse().status)

    threads = [threading.Thread(target=rude, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert statuses == [503] * 20, "a reset or a broken pipe instead of an answer"


def test_a_kept_alive_connection_is_told_that_it_ends_with_the_refusal(full: Server) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", full.port, timeout=WAIT_S)) as client:
        for _ in range(3):  # each would meet a closed connection, had the refusal before not said so
            client.request("POST", "/api/images", body=BODY)
            answer = client.getresponse()
            assert (answer.status, answer.headers["Connection"]) == (503, "close")
            answer.read()


def test_curl_reads_the_refusal(full: Server, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(BODY)
    for options in (["-F", f"file=@{tmp_path}/a.jpg"], ["--data-binary", f"@{tmp_path}/a.jpg"]):
        done = subprocess.run(
            ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", *options, f"{full.url}/api/images"],
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )
        assert (done.returncode, done.stdout) == (0, "503"), done.stderr


def test_while_uploads_are_refused_the_pages_answer(full: Server) -> None:
    lingering = []
    for _ in range(8):  # these got their refusal and neither send nor close
        sock = connect(full)
        sock.sendall(head(len(BODY)))
        assert read_answer(sock)[0] == 503
        lingering.append(sock)
    with Stopwatch() as watch:
        status = full.get("/api/status")
    assert watch.s < 2, "the accept thread waited for a client"
    assert status["accepting"] is False
    assert status["reason"] == "no_room"
    assert full.status_of("/readyz") == 503
    assert full.status_of("/healthz") == 200
    for sock in lingering:
        sock.close()


def test_a_client_that_obeys_retry_after_gets_in(tmp_path: Path) -> None:
    with Server(tmp_path / "data", "--workers", "1", "--queue-capacity", "2") as server:
        results: list[int] = []

        def polite(seed: int) -> None:
            while True:
                status, _, headers = server.upload(photo(seed=seed))
                if status != 503:
                    results.append(status)
                    return
                time.sleep(int(headers["Retry-After"]))

        clients = [threading.Thread(target=polite, args=(n,)) for n in range(12)]
        for client in clients:
            client.start()
        for client in clients:
            client.join(WAIT_S)
        assert results == [202] * 12
        assert server.wait_until_settled()["done"] == 12
        status = server.get("/api/status")
        assert status["since_start"]["received"] == status["since_start"]["accepted"] + status["since_start"]["refused"]
        assert status["refused_by"].get("no_room", 0) == status["since_start"]["refused"]


def test_too_large_by_its_own_account_is_refused_unread(tmp_path: Path) -> None:
    with Server(tmp_path / "data", "--max-upload-bytes", "1MiB") as server:
        with closing(connect(server)) as sock:
            sock.sendall(head(2 * 1024 * 1024))
            assert read_answer(sock)[0] == 413
        with closing(connect(server)) as sock:  # and one that does not say
            sock.sendall(b"POST /api/images HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n")
            chunk = b"10000\r\n" + photo()[:65536].ljust(65536, b"x") + b"\r\n"
            for _ in range(20):
                sock.sendall(chunk)
            assert read_answer(sock)[0] == 413
        assert not list((tmp_path / "data" / "originals").iterdir())


def test_a_silent_client_is_let_go_and_a_trickling_one_too(tmp_path: Path) -> None:
    with Server(tmp_path / "data", "--read-timeout-s", "0.5") as server:
        with closing(connect(server)) as sock:
            sock.sendall(head(100_000) + BODY[:100])
            status, _, body = read_answer(sock)
            assert (status, json.loads(body)["type"]) == (408, "/problems/too-slow")
        assert server.get("/api/status")["pool"]["queue"]["reserved"] == 0
        assert not list((tmp_path / "data" / "originals").iterdir())


def test_a_client_that_goes_away_gives_its_slot_back(tmp_path: Path) -> None:
    with Server(tmp_path / "data") as server:
        with closing(connect(server)) as sock:
            sock.sendall(head(len(BODY)) + BODY[:5000])
            wait_for(lambda: server.get("/api/status")["pool"]["queue"]["reserved"] == 1, "the slot to be held")
        wait_for(lambda: server.get("/api/status")["pool"]["queue"]["reserved"] == 0, "the slot to be free again")
        wait_for(lambda: server.get("/api/status")["refused_by"] == {"incomplete": 1}, "the refusal to be counted")
        assert not list((tmp_path / "data" / "originals").iterdir())


def test_the_line_that_says_where_it_serves(tmp_path: Path) -> None:
    with Server(tmp_path / "data") as server:
        lines = [line for line in server.log if "serving on" in line]
        assert len(lines) == 1
        assert re.fullmatch(r"imgpool: serving on http://127\.0\.0\.1:\d+", lines[0])

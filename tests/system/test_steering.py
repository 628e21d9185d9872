"""Steering the real server: a queue made larger is one that many use at once; `kill -9` in the middle of a retry."""

from __future__ import annotations

import http.client
import json
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from serving import PATIENT, SAMPLES, WAIT_S, Server, wait_for

UPLOADS = 60
PICTURE = SAMPLES / "balloon-transparent.png"


def _ask(server: Server, method: str, path: str, **body: Any) -> Any:
    request = urllib.request.Request(
        server.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}, method=method
    )
    with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
        return json.load(answer)


def _begun(server: Server, body: bytes) -> http.client.HTTPConnection:
    """An upload of which the second half is yet to come."""
    upload = http.client.HTTPConnection("127.0.0.1", server.port, timeout=WAIT_S)
    upload.putrequest("POST", "/api/images?name=slow.png")
    upload.putheader("Content-Length", str(len(body)))
    upload.endheaders(body[: len(body) // 2])
    return upload


def test_as_many_uploads_at_once_as_the_queue_was_given_places(tmp_path: Path) -> None:
    body = PICTURE.read_bytes()
    options = ("--workers", "1", "--isolation", "thread", "--queue-capacity", "2", *PATIENT)
    with Server(tmp_path / "data", *options) as server, ExitStack() as stack:
        threads = server.gunicorn_process().num_threads()
        _ask(server, "PATCH", "/api/pool", queue_capacity=UPLOADS, paused=True)
        uploads = [_begun(server, body) for _ in range(UPLOADS)]
        for upload in uploads:
            stack.callback(upload.close)

        def each_has_a_thread() -> bool:
            reserved = server.get("/api/status")["pool"]["queue"]["reserved"]
            return bool(reserved == UPLOADS and server.gunicorn_process().num_threads() >= threads + UPLOADS - 2 - 32)

        wait_for(each_has_a_thread, "all uploads to be received at once")
        assert server.status_of("/status") == 200  # and there still is one for a page
        for upload in uploads:
            upload.send(body[len(body) // 2 :])
        answers = [upload.getresponse() for upload in uploads]
        assert [answer.status for answer in answers] == [202] * UPLOADS
        assert server.get("/api/status")["pool"]["queue"]["buffered"] == UPLOADS
        status, problem, headers = server.upload(body)
        assert (status, problem["status"]) == (503, 503)
        assert "the pool is paused" in problem["detail"]
        assert f"again in {headers['Retry-After']} s" in problem["detail"]
        assert 30 <= int(headers["Retry-After"]) <= 45


def test_killed_while_all_failed_images_are_retried(tmp_path: Path) -> None:
    def served() -> Server:
        return Server(tmp_path / "data", "--workers", "1", "--isolation", "thread", "--queue-capacity", "12")

    with served() as server:
        ids = _failed_for_now(server, tmp_path / "data" / "originals")
        # Half of a queue of four places is put back, and waits for the end of the pause, which never comes.
        _ask(server, "PATCH", "/api/pool", paused=True, queue_capacity=4)
        assert _ask(server, "POST", "/api/retries/all")["failed"] == len(ids)
        wait_for(lambda: server.get("/api/status")["retrying"]["images"] == 2, "two images to be put back")
        server.kill()
    with served() as server:
        counts = server.wait_until_settled()
        assert (counts["done"], counts["failed"], counts["accepted"]) == (2, len(ids) - 2, len(ids))
        # And once more, with the worker at work.
        _ask(server, "POST", "/api/retries/all")
        wait_for(lambda: server.get("/api/status")["retrying"]["images"] >= 2, "some images to be put back")
        server.kill()
    with served() as server:
        counts = server.wait_until_settled()
        assert counts["done"] + counts["failed"] == counts["accepted"] == len(ids)
        assert counts["done"] >= 4, "what was put back is not forgotten"
        _ask(server, "POST", "/api/retries/all")
        wait_for(lambda: not server.get("/api/status")["retrying"]["active"], "the end of the retry")
        assert server.wait_until_settled()["done"] == len(ids)
        images = server.get("/api/images?limit=200")["images"]
        assert sorted(image["id"] for image in images) == sorted(ids)
        assert all(len(image["variants"]) == 2 for image in images)


def _failed_for_now(server: Server, originals: Path) -> list[str]:
    """Twelve images that failed, because their originals were away for a while."""
    _ask(server, "PATCH", "/api/pool", paused=True)
    ids = [str(server.upload(PICTURE.read_bytes())[1]["images"][0]["id"]) for _ in range(12)]
    for image_id in ids:
        (originals / image_id).rename(originals / f"{image_id}.away")
    _ask(server, "PATCH", "/api/pool", paused=False)
    assert server.wait_until_settled()["failed"] == len(ids)
    for image_id in ids:
        (originals / f"{image_id}.away").rename(originals / image_id)
    return ids

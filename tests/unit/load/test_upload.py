"""One upload as clients of each kind send it, against a server whose every byte the test decides."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from imgpool.load.behaviour import ONCE, RUDE, Behaviour
from imgpool.load.pictures import Picture
from imgpool.load.target import Target
from imgpool.load.upload import CHUNK, Answer, upload

BIG = Picture("a b.jpg", b"x" * (512 * CHUNK))  # more than the buffers of a connection hold
REFUSAL = (
    b"HTTP/1.1 503 Busy\r\nContent-Type: application/problem+json\r\nRetry-After: 7\r\nConnection: close\r\n"
    b'Content-Length: 28\r\n\r\n{"type":"/problems/no-room"}'
)
ACCEPTED = b'HTTP/1.1 202 Accepted\r\nContent-Length: 26\r\n\r\n{"images":[{"id":"abc12"}]}'.replace(b" 26", b" 27")


class Peer:
    """Listens; for one connection reads the head, answers `answer`, then reads to the end or closes at once."""

    def __init__(self, answer: bytes, *, read_first: bool = False, drain: bool = True) -> None:
        self._answer, self._read_first, self._drain = answer, read_first, drain
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.target = Target("http", "127.0.0.1", self._listener.getsockname()[1], "", "secret-token")
        self.head = b""
        self.body_bytes = 0
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            connection.settimeout(60)
            while b"\r\n\r\n" not in self.head:
                self.head += connection.recv(4096)
            self.head, _, rest = self.head.partition(b"\r\n\r\n")
            self.body_bytes = len(rest)
            if self._read_first:
                self._read(connection, len(BIG.body))
            connection.sendall(self._answer)
            if self._drain:
                self._read(connection, 1 << 40)

    def _read(self, connection: socket.socket, most: int) -> None:
        while self.body_bytes < most and (chunk := connection.recv(1 << 20)):
            self.body_bytes += len(chunk)

    def end(self) -> None:
        self._thread.join(60)
        assert not self._thread.is_alive()
        self._listener.close()


def sent_to(peer: Peer, behaviour: Behaviour) -> Answer:
    try:
        return upload(peer.target, BIG, behaviour)
    finally:
        peer.end()


def test_an_accepted_upload_is_whole_and_carries_name_and_token() -> None:
    peer = Peer(ACCEPTED, read_first=True)
    assert sent_to(peer, ONCE) == Answer("accepted", 202, image_id="abc12", sent_bytes=len(BIG.body))
    assert peer.body_bytes == len(BIG.body)
    assert peer.head.startswith(b"POST /api/images?name=a%20b.jpg HTTP/1.1")
    assert b"Authorization: Bearer secret-token" in peer.head


def test_a_client_that_listens_stops_at_the_refusal() -> None:
    peer = Peer(REFUSAL)
    answer = sent_to(peer, ONCE)
    assert (answer.kind, answer.status, answer.reason, answer.retry_after_s) == ("refused", 503, "no_room", 7.0)
    assert answer.sent_bytes < len(BIG.body)


def test_a_rude_one_sends_everything() -> None:
    peer = Peer(REFUSAL)
    answer = sent_to(peer, RUDE)
    assert (answer.kind, answer.sent_bytes) == ("refused", len(BIG.body))
    assert peer.body_bytes == len(BIG.body)


def test_a_connection_that_is_cut_is_a_reset() -> None:
    assert sent_to(Peer(b"", drain=False), ONCE).kind == "reset"


def test_patience_ends() -> None:
    peer = Peer(b"")
    answer = sent_to(peer, replace(RUDE, patience_s=0.2))
    assert (answer.kind, answer.reason) == ("unanswered", "no answer within 0.2 s")


def test_nobody_listens() -> None:
    with socket.socket() as taken:  # so that nobody else comes to listen there
        taken.bind(("127.0.0.1", 0))
        answer = upload(Target("http", "127.0.0.1", taken.getsockname()[1], "", None), BIG, ONCE)
    assert (answer.kind, answer.reason) == ("unreachable", "Connection refused")


@pytest.mark.parametrize(
    ("body", "reason"),
    [(b"{}", "an answer that names no image"), (b"[]", "an answer that names no image"), (b"<html>", "an answer")],
)
def test_a_202_that_names_no_image_is_no_acceptance(body: bytes, reason: str) -> None:
    peer = Peer(b"HTTP/1.1 202 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body, read_first=True)
    answer = sent_to(peer, ONCE)
    assert (answer.kind, answer.image_id) == ("refused", None)
    assert reason in (answer.reason or "")


@pytest.fixture(autouse=True)
def _quick() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    yield
    assert socket.getdefaulttimeout() == before

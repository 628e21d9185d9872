"""A request's body, read from a real socket: as it comes, to its end and no further."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from imgpool.server.body import StraightBody
from imgpool.server.connection import PacedUnreader

TIMEOUT_S = 5.0


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, PacedUnreader]]:
    """The client's end, and what reads the server's."""
    client, server = socket.socketpair()
    with client, server:
        server.settimeout(TIMEOUT_S)
        yield client, PacedUnreader(server, TIMEOUT_S, 1024)


def body_of(unreader: PacedUnreader, length: int, behind_headers: bytes = b"") -> StraightBody:
    unreader.unread(behind_headers)
    unreader.begin_body(owes_continue=False)
    return StraightBody(unreader, length)


def test_what_is_there_is_handed_on_at_once(ends: tuple[socket.socket, PacedUnreader]) -> None:
    client, unreader = ends
    body = body_of(unreader, 12, b"0123")
    assert (body.read(3), body.read(100)) == (b"012", b"3")
    client.sendall(b"4567")
    assert (body.read(100), body.length) == (b"4567", 4)
    client.sendall(b"89ab")
    assert (body.read(), body.read(1), body.read()) == (b"89ab", b"", b"")
    assert not body.failed


def test_a_buffer_is_filled_no_further_than_the_body_goes(ends: tuple[socket.socket, PacedUnreader]) -> None:
    client, unreader = ends
    body, buffer = body_of(unreader, 5, b"01"), bytearray(b"........")
    assert (body.readinto(memoryview(buffer)[:1]), body.readinto(buffer)) == (1, 1)
    client.sendall(b"234GET /")
    assert (body.readinto(buffer), bytes(buffer), body.readinto(buffer)) == (3, b"234.....", 0)
    assert unreader.sock.recv(100) == b"GET /"


def test_the_next_request_is_left_where_it_is(ends: tuple[socket.socket, PacedUnreader]) -> None:
    client, unreader = ends
    body = body_of(unreader, 6, b"01")
    client.sendall(b"2345GET /")
    assert body.read() == b"012345"
    assert unreader.sock.recv(100) == b"GET /"
    body = body_of(unreader, 2, b"01GET /")
    assert body.read() == b"01"
    assert unreader.take_buffered() == b"GET /"


def test_lines_and_iteration(ends: tuple[socket.socket, PacedUnreader]) -> None:
    client, unreader = ends
    body = body_of(unreader, 9)
    client.sendall(b"one\ntwo\n3")
    assert list(body) == [b"one\n", b"two\n", b"3"]


def test_a_body_that_breaks_off_ends_and_its_connection_is_not_used_again(
    ends: tuple[socket.socket, PacedUnreader],
) -> None:
    client, unreader = ends
    body = body_of(unreader, 10)
    client.sendall(b"01234")
    client.shutdown(socket.SHUT_WR)
    assert (body.read(), body.length, body.failed) == (b"01234", 5, True)


def test_a_client_that_is_too_slow_is_a_timeout(ends: tuple[socket.socket, PacedUnreader]) -> None:
    _, unreader = ends
    body = body_of(unreader, 10)
    unreader.let_go()
    with pytest.raises(TimeoutError):
        body.read(1)
    assert body.failed

"""HTTP by hand, for tests that care which byte is sent when."""

from __future__ import annotations

import http.client
import socket

from serving import WAIT_S, Server
from stopwatch import Stopwatch


def connect(server: Server, timeout_s: float = WAIT_S) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=timeout_s)


def head(length: int | None, *more: str, path: str = "/api/images?name=a.jpg") -> bytes:
    """The headers of an upload."""
    length_line = [] if length is None else [f"Content-Length: {length}"]
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: 127.0.0.1", *length_line, *more, "", ""]).encode()


def read_answer(sock: socket.socket, method: str = "POST") -> tuple[int, dict[str, str], bytes]:
    """Status, headers (names in lower case), body. A `100 Continue` before it is skipped."""
    answer = http.client.HTTPResponse(sock, method=method)
    answer.begin()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


def read_all(sock: socket.socket) -> bytes:
    """Everything until the server ends its side."""
    got = b""
    while data := sock.recv(65536):
        got += data
    return got


def elapsed_s(server: Server, path: str) -> float:
    """How long a GET takes, answered with 200."""
    with Stopwatch() as watch:
        assert server.status_of(path) == 200
    return watch.s

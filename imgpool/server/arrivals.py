"""Requests on their way in: their headers are collected on the poller, so a client that drips them costs no thread.

Owns the connections whose next request is not there yet: silent, kept alive, or in the middle of their
headers. A whole header block, or one that can never become whole, goes to `on_headers`. Bounded in bytes and in time.
Main thread only; nothing here blocks.
"""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable

from imgpool.server.connection import Connection
from imgpool.server.watch import Watch

MAX_HEADER_BYTES = 32 * 1024
READ_BYTES = 16 * 1024
END_OF_HEADERS = b"\r\n\r\n"
TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Arrivals:
    """`on_headers(connection)` gets those that have a request, `on_end(connection, answer)` those that never will."""

    def __init__(
        self,
        poller: selectors.BaseSelector,
        headers_timeout_s: float,
        on_headers: Callable[[Connection], None],
        on_end: Callable[[Connection, bytes], None],
    ) -> None:
        self._headers_timeout_s = headers_timeout_s
        self._on_headers, self._on_end = on_headers, on_end
        self._watch = Watch(poller, self._readable)

    def __len__(self) -> int:
        return len(self._watch)

    def add(self, connection: Connection, silence_s: float) -> None:
        """Wait for the first byte of a request for `silence_s`, and then for the rest of its headers."""
        connection.sock.setblocking(False)
        connection.head = bytearray(connection.parser.unreader.take_buffered())
        begun = bool(connection.head)  # it was sent behind the request before
        if begun and _whole(connection.head, 0):
            self._on_headers(connection)
            return
        self._watch.add(connection, time.monotonic() + (self._headers_timeout_s if begun else silence_s))

    def _readable(self, connection: Connection) -> None:
        try:
            data = connection.sock.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        head = connection.head
        known = len(head)
        head += data
        if not data:
            self._end(connection, b"")
        elif _whole(head, max(0, known - 3)):
            self._watch.remove(connection)
            self._on_headers(connection)
        elif len(head) > MAX_HEADER_BYTES:
            self._end(connection, TOO_LARGE)
        elif not known:
            self._watch.postpone(connection, time.monotonic() + self._headers_timeout_s)

    def expire(self, now: float) -> None:
        """Let go of those who took too long: with an answer if they had begun to ask."""
        for connection in self._watch.expired(now):
            self._end(connection, TOO_SLOW if connection.head else b"")

    def stop(self, deadline: float) -> None:
        """The server stops: wait until `deadline` for those who asked before or have begun to ask, else for nobody."""
        for connection in self._watch.all():
            if not connection.head and not connection.parser.req_count:
                self._end(connection, b"")
        self._watch.cap(deadline)

    def evict(self) -> bool:
        """Let go of who has waited longest, to make room for another; False when there is nobody."""
        oldest = self._watch.oldest()
        if oldest is not None:
            self._end(oldest, TOO_SLOW if oldest.head else b"")
        return oldest is not None

    def _end(self, connection: Connection, answer: bytes) -> None:
        self._watch.remove(connection)
        self._on_end(connection, answer)


def _whole(head: bytearray, searched: int) -> bool:
    """Whether nothing more is needed to answer: the block has its end, or a bare LF, which the parser refuses."""
    return head.find(END_OF_HEADERS, searched) >= 0 or head.count(b"\n") != head.count(b"\r\n")

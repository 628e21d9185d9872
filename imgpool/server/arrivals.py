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
WHOLE = END_OF_HEADERS = b"\r\n\r\n"
GONE = b""
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
        connection.head = bytearray(connection.parser.unreader.take_buffered())  # sent behind the request before
        # In a flood the headers are there already: looking first saves a round through the poller.
        verdict = WHOLE if _whole(connection.head, 0) else self._receive(connection)
        if verdict is None:
            patience_s = self._headers_timeout_s if connection.head else silence_s
            self._watch.add(connection, time.monotonic() + patience_s)
        else:
            self._leave(connection, verdict)

    def _readable(self, connection: Connection) -> None:
        began = not connection.head
        verdict = self._receive(connection)
        if verdict is not None:
            self._watch.remove(connection)
            self._leave(connection, verdict)
        elif began:
            self._watch.postpone(connection, time.monotonic() + self._headers_timeout_s)

    def _receive(self, connection: Connection) -> bytes | None:
        """Take what has come. None when more has to come, `WHOLE`, or the answer with which the connection ends."""
        try:
            data = connection.sock.recv(READ_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            data = b""
        if not data:
            return GONE
        known = len(connection.head)
        connection.head += data
        if _whole(connection.head, max(0, known - 3)):
            return WHOLE
        return TOO_LARGE if len(connection.head) > MAX_HEADER_BYTES else None

    def _leave(self, connection: Connection, verdict: bytes) -> None:
        if verdict is WHOLE:
            self._on_headers(connection)
        else:
            self._on_end(connection, verdict)

    def expire(self, now: float) -> None:
        """Let go of those who took too long: with an answer if they had begun to ask."""
        for connection in self._watch.expired(now):
            self._give_up(connection)

    def stop(self, kept_until: float, deadline: float) -> None:
        """The server stops: wait until `deadline` for those who have begun to ask, until `kept_until` for those who
        asked before and may ask again, and for nobody else.
        """
        self._watch.cap(deadline)
        for connection in self._watch.all():
            if connection.head:
                continue
            if connection.parser.req_count:
                self._watch.postpone(connection, kept_until)
            else:
                self._give_up(connection)

    def until(self) -> float | None:
        """When `expire` is due; None when nobody waits."""
        return self._watch.until()

    def evict(self) -> bool:
        """Let go of who has waited longest, to make room for another; False when there is nobody."""
        oldest = self._watch.remove_oldest()
        if oldest is not None:
            self._on_end(oldest, TOO_SLOW if oldest.head else GONE)
        return oldest is not None

    def _give_up(self, connection: Connection) -> None:
        self._watch.remove(connection)
        self._on_end(connection, TOO_SLOW if connection.head else GONE)


def _whole(head: bytearray, searched: int) -> bool:
    """Whether nothing more is needed to answer: the block has its end, or a bare LF, which the parser refuses."""
    return head.find(END_OF_HEADERS, searched) >= 0 or head.count(b"\n") != head.count(b"\r\n")

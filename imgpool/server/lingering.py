"""The lingering close: the client has its answer, and what it still sends is read away on the poller.

Closing with unread bytes would make the kernel send a reset, which throws the answer away at the client. So our side
is ended first, and the connection is closed when the client ends its own, falls silent, or goes beyond the limits.
Main thread only; nothing here blocks.
"""

from __future__ import annotations

import selectors
import socket
import sys
import time
from collections.abc import Callable

from imgpool.server.connection import Connection
from imgpool.server.watch import Watch

SILENCE_S = 2.0
LEAST_S = 5.0
LEAST_BYTES_PER_S = 64 * 1024  # who sends no faster than this is waited for `LEAST_S` in all, others a little longer
MOST_S = 60.0
MOST_BYTES = 64 * 1024**2
TURN_S = 0.003  # then those that have no answer yet have their turn
# On Linux a TCP socket asked to truncate drops the bytes without copying them; elsewhere they are read.
DROP = socket.MSG_TRUNC if sys.platform == "linux" else 0


class Lingering:
    """`on_end(connection)` is called, once, when a connection may be closed."""

    def __init__(self, poller: selectors.BaseSelector, on_end: Callable[[Connection], None]) -> None:
        self._on_end = on_end
        self._watch = Watch(poller, self._readable)
        self._ready: list[Connection] = []
        self._sink = bytearray(1024 * 1024)

    def __len__(self) -> int:
        return len(self._watch)

    def add(self, connection: Connection) -> None:
        """The answer is written: end our side, and wait for the client's end."""
        connection.answered_at, connection.dropped = time.monotonic(), 0
        try:
            connection.sock.setblocking(False)
            connection.sock.shutdown(socket.SHUT_WR)
        except OSError:  # the client is gone
            self._on_end(connection)
            return
        self._watch.add(connection, connection.answered_at + SILENCE_S)

    def _readable(self, connection: Connection) -> None:
        self._ready.append(connection)

    def drop(self) -> None:
        """Read away what has come, for `TURN_S` at most: the poller tells of the rest again. Called last in a round."""
        until = time.monotonic() + TURN_S
        for connection in self._ready:
            self._go_on(connection)
            if time.monotonic() > until:
                break
        self._ready.clear()

    def _go_on(self, connection: Connection) -> None:
        if not self._drop(connection):
            self._end(connection)
            return
        now = time.monotonic()
        patience_s = min(LEAST_S + connection.dropped / LEAST_BYTES_PER_S, MOST_S)
        if connection.dropped > MOST_BYTES or now - connection.answered_at > patience_s:
            self._end(connection)
        else:
            self._watch.postpone(connection, now + SILENCE_S)

    def _drop(self, connection: Connection) -> bool:
        """Read away what is there; False when the client has ended, one way or the other."""
        try:
            read: int = connection.sock.recv_into(self._sink, len(self._sink), DROP)
        except BlockingIOError:
            return True
        except OSError:
            return False
        connection.dropped += read
        return read > 0

    def expire(self, now: float) -> None:
        """Close those that fell silent."""
        for connection in self._watch.expired(now):
            self._end(connection)

    def cap(self, deadline: float) -> None:
        """The server stops: wait for nobody beyond `deadline`."""
        self._watch.cap(deadline)

    def until(self) -> float | None:
        """When `expire` is due; None when nobody waits."""
        return self._watch.until()

    def evict(self) -> bool:
        """Close the one that got its answer first, to make room for another; False when there is none."""
        oldest = self._watch.remove_oldest()
        if oldest is not None:
            self._on_end(oldest)
        return oldest is not None

    def _end(self, connection: Connection) -> None:
        self._watch.remove(connection)
        self._on_end(connection)

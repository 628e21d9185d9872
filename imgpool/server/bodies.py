"""Small bodies that are no uploads (a sign-in, a lab's program): collected on the poller before a thread serves them.

So who sends one slowly takes nobody's thread. Bounded in bytes and in time. Main thread only; nothing here blocks.
"""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable

from imgpool.server.arrivals import TOO_SLOW
from imgpool.server.connection import Connection
from imgpool.server.watch import Watch

MOST_BYTES = 64 * 1024  # larger ones are refused by the application, unread
LENGTH_REQUIRED = b"HTTP/1.1 411 Length Required\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class SmallBodies:
    """`on_body(connection)` gets those that are whole, `on_end(connection, answer)` those that are not in time."""

    def __init__(
        self,
        poller: selectors.BaseSelector,
        timeout_s: float,
        on_body: Callable[[Connection], None],
        on_end: Callable[[Connection, bytes], None],
    ) -> None:
        self._timeout_s = timeout_s
        self._on_body, self._on_end = on_body, on_end
        self._watch = Watch(poller, self._readable)

    def add(self, connection: Connection) -> None:
        """Wait for the rest of the body of a request whose headers are there."""
        missing = connection.missing_bytes()
        if missing is None:
            self._on_end(connection, LENGTH_REQUIRED)
        elif not 0 < missing <= MOST_BYTES:
            self._on_body(connection)
        else:
            connection.send_continue()
            self._watch.add(connection, time.monotonic() + self._timeout_s)

    def _readable(self, connection: Connection) -> None:
        if connection.receive_missing():
            self._watch.remove(connection)
            self._on_body(connection)

    def expire(self, now: float) -> None:
        """Let go of those who took too long."""
        for connection in self._watch.expired(now):
            self._watch.remove(connection)
            self._on_end(connection, TOO_SLOW)

    def until(self) -> float | None:
        """When `expire` is due; None when nobody waits."""
        return self._watch.until()

    def evict(self) -> bool:
        """Let go of who has waited longest, to make room for another; False when there is nobody."""
        oldest = self._watch.remove_oldest()
        if oldest is not None:
            self._on_end(oldest, TOO_SLOW)
        return oldest is not None

    def cap(self, deadline: float) -> None:
        """The server stops: wait for nobody beyond `deadline`."""
        self._watch.cap(deadline)

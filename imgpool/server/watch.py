"""Connections that wait for their clients on gunicorn's poller, each with a deadline, and none in a thread.

Owns who waits and until when. Never reads or closes a connection: its owner does. Main thread only.
"""

from __future__ import annotations

import selectors
from collections.abc import Callable
from contextlib import suppress

from imgpool.server.connection import Connection


class Watch:
    """One kind of waiting: `readable(connection)` is called when the client sent something or hung up."""

    def __init__(self, poller: selectors.BaseSelector, readable: Callable[[Connection], None]) -> None:
        self._poller = poller
        self._readable = readable
        self._deadlines: dict[Connection, float] = {}  # in the order in which they began to wait

    def __len__(self) -> int:
        return len(self._deadlines)

    def add(self, connection: Connection, deadline: float) -> None:
        """Begin to wait for a connection, whose socket must not block."""
        self._deadlines[connection] = deadline
        self._poller.register(connection.sock, selectors.EVENT_READ, lambda _: self._readable(connection))

    def postpone(self, connection: Connection, deadline: float) -> None:
        """Give a waiting connection another deadline."""
        self._deadlines[connection] = deadline

    def remove(self, connection: Connection) -> None:
        """Wait for it no longer."""
        del self._deadlines[connection]
        with suppress(KeyError, ValueError, OSError):  # the socket was closed under us
            self._poller.unregister(connection.sock)

    def cap(self, deadline: float) -> None:
        """Nobody waits for longer than until `deadline`."""
        for connection, own in self._deadlines.items():
            self._deadlines[connection] = min(own, deadline)

    def until(self) -> float | None:
        """The earliest deadline; None when nobody waits. A look at everybody."""
        return min(self._deadlines.values(), default=None)

    def all(self) -> list[Connection]:
        """Everybody, those first who have waited longest."""
        return list(self._deadlines)

    def expired(self, now: float) -> list[Connection]:
        """Those whose deadline has passed; they go on waiting until removed."""
        return [connection for connection, deadline in self._deadlines.items() if deadline <= now]

    def remove_oldest(self) -> Connection | None:
        """Wait no longer for who has waited longest, and return it; None when nobody waits."""
        oldest = next(iter(self._deadlines), None)
        if oldest is not None:
            self.remove(oldest)
        return oldest

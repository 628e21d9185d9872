"""Connections in threads, and the answers that their clients do not take.

A thread that writes an answer waits for its client when more is under way than the socket's buffer holds: a large
file, or many requests in a row of whose answers none is read. Such clients make way when all threads are taken and
requests wait for one, those first who have had their answer for longest; and each is let go when it takes nothing
for `read_timeout_s` (`connection`). Owns who is in a thread. Main thread only; nothing here blocks.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from imgpool.server.connection import Connection

UNREAD_S = 0.5  # how long an answer may take while others wait for a thread
LOOK_AGAIN_S = 0.25


class Answers:
    """Those that were given to the threads, of which there are `threads()`."""

    def __init__(self, threads: Callable[[], int]) -> None:
        self._threads = threads
        self._given: set[Connection] = set()

    def add(self, connection: Connection) -> None:
        """A request goes to the threads."""
        self._given.add(connection)

    def remove(self, connection: Connection) -> None:
        """Its thread is done with it."""
        self._given.discard(connection)

    def until(self) -> float | None:
        """When `make_way` is due; None when there is a thread for everybody."""
        return time.monotonic() + LOOK_AGAIN_S if len(self._given) > self._threads() else None

    def make_way(self, now: float) -> None:
        """End as many unread answers as requests wait for a thread."""
        waiting = len(self._given) - self._threads()
        if waiting > 0:
            self._end(now, waiting)

    def end_all(self, now: float) -> None:
        """The time for requests is over: end every answer that is not being read."""
        self._end(now, len(self._given))

    def _end(self, now: float, most: int) -> None:
        unread = [(since, each) for each in self._given if (since := each.parser.answering_since) is not None]
        for since, connection in sorted(unread, key=lambda pair: pair[0])[:most]:
            if now - since > UNREAD_S:
                connection.end_answer()

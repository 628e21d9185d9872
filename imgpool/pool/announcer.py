"""The announcer: tells a pool's observer what happened, and survives whatever the observer does.

Owns the pool's side of the observer. Never called with a lock held: an observer may ask the pool for its
statistics.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from imgpool.pool.books import Books
from imgpool.pool.events import Event, EventKind, Job, Outcome

_log = logging.getLogger(__name__)


class Announcer:
    """Calls the observer, in the thread that caused the event.

    A pool without an observer has no announcer, and its parts ask for one before each event: a job that
    nobody observes pays for three comparisons, not for three calls.
    """

    def __init__(self, name: str, observer: Callable[[Event], None], books: Books[Any]) -> None:
        self._name = name
        self._observer = observer
        self._books = books

    def tell(
        self,
        kind: EventKind,
        job: Job[Any] | None = None,
        worker: str | None = None,
        outcome: Outcome | None = None,
        reason: str | None = None,
    ) -> None:
        """Tell the observer. Raises nothing of the observer's but KeyboardInterrupt."""
        try:
            self._observer(Event(kind, time.monotonic(), job, worker, outcome, reason))
        except (Exception, SystemExit):  # KeyboardInterrupt is for the submitter: this may be its thread
            if self._books.observer_failed():
                _log.warning("the observer of %s failed; further failures are only counted", self._name, exc_info=True)

"""The line before the lab: one run at a time, the others wait in the order in which they came.

Owns the runs, those that wait, the one that runs, and the last few that have ended. Bounded: who comes when the line is
full is told so at once. Its one thread exists only while somebody waits; making a `Lab` starts nothing.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from imgpool.learn.lab.process import RunFailed
from imgpool.pool import Context

log = logging.getLogger(__name__)

MOST_WAITING = 12
MOST_KEPT = 16

Perform = Callable[[Context], dict[str, Any]]
State = Literal["waiting", "running", "done", "failed"]


class LabFull(Exception):
    """As many wait as may wait. `str(error)` is a sentence for whoever asked."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One run at one moment. `place` counts from 1, the next; 0: its turn has come."""

    id: str
    state: State
    place: int
    result: dict[str, Any] | None
    error: str | None


class _Run:
    def __init__(self, perform: Perform) -> None:
        self.id = secrets.token_hex(8)
        self.perform = perform
        self.state: State = "waiting"
        self.result: dict[str, Any] | None = None
        self.error: str | None = None


class Lab:
    """Every method may be called from any thread; none blocks.

    When `stopping` ends, the run in progress is cut off, and those that wait fail without having run.
    """

    def __init__(self, stopping: Context, most_waiting: int = MOST_WAITING) -> None:
        self._stopping = stopping
        self._most_waiting = most_waiting
        self._lock = threading.Lock()  # guards all below
        self._runs: OrderedDict[str, _Run] = OrderedDict()  # oldest first
        self._waiting: deque[_Run] = deque()
        self._thread: threading.Thread | None = None

    def ask(self, perform: Perform) -> Seen:
        """Have something run when its turn comes, in a thread of the lab. Raises `LabFull`."""
        run = _Run(perform)
        with self._lock:
            if len(self._waiting) >= self._most_waiting:
                raise LabFull(f"{len(self._waiting)} runs wait for the lab already: try again in a moment.")
            self._waiting.append(run)
            self._runs[run.id] = run
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="imgpool-lab", daemon=True)
                self._thread.start()
            return self._seen(run)

    def look(self, run_id: str) -> Seen | None:
        """How it stands with a run; None when it is unknown, or was forgotten because newer ones have ended since."""
        with self._lock:
            run = self._runs.get(run_id)
            return None if run is None else self._seen(run)

    def _seen(self, run: _Run) -> Seen:
        place = self._waiting.index(run) + 1 if run in self._waiting else 0
        return Seen(run.id, run.state, place, run.result, run.error)

    def _serve(self) -> None:
        """One run after the other, until nobody waits."""
        while True:
            with self._lock:
                if not self._waiting:
                    self._thread = None
                    return
                run = self._waiting.popleft()
                run.state = "running"
            result: dict[str, Any] | None = None
            error = None
            try:
                if self._stopping.done:
                    raise RunFailed("The server stops: run it again later.")
                result = run.perform(self._stopping)
            except RunFailed as failure:
                error = str(failure)
            except Exception as failure:  # a line that died would keep everybody waiting
                log.exception("a run of the lab failed")
                error = f"The lab made a mistake: {failure}"
            with self._lock:
                run.result, run.error = result, error
                run.state = "done" if error is None else "failed"
                ended = [each for each in self._runs.values() if each.state in ("done", "failed")]
                for old in ended[:-MOST_KEPT]:
                    del self._runs[old.id]

"""What really happened in a run: a list of steps, each with its time, its thread, and what it saw of a channel.

Owns the steps of one run, in the order in which they took effect. Bounded: a run that would be longer is cut, and says
so. Decides nothing, and knows of channels and threads only what it is told.
"""

from __future__ import annotations

import re
import sys
import threading
import time
from collections import Counter
from types import FrameType
from typing import Any

from imgpool.pool import Job, Result

MOST_STEPS = 4000
_LONGEST_LABEL = 24

Step = dict[str, Any]


class Record:
    """Every method may be called from any thread, also with a channel's lock held: it takes none but its own."""

    def __init__(self, program: str) -> None:
        self._program = program  # the file whose lines are marked
        self._began = time.monotonic()
        self._ended_ms: float | None = None
        self._lock = threading.Lock()
        self._names: dict[int, str] = {}  # of threads, by their id()
        self._numbers: Counter[str] = Counter()
        self._threads: list[threading.Thread] = []  # kept, so that no id() is used twice
        self.steps: list[Step] = []
        self.channels: dict[str, int] = {}  # name -> capacity
        self.cut = False

    @property
    def names(self) -> list[str]:
        """The threads that took part, in the order of their first step."""
        return list(self._names.values())

    def name_of(self, thread: threading.Thread) -> str:
        """What the page calls a thread: main, worker 1, producer, ..."""
        with self._lock:
            known = self._names.get(id(thread))
            if known is None:
                known = self._names[id(thread)] = self._new_name(thread.name)
                self._threads.append(thread)
            return known

    def me(self) -> str:
        """The name of the calling thread."""
        return self.name_of(threading.current_thread())

    def step(self, who: str, what: str, **more: Any) -> None:
        """Add a step that takes effect now."""
        with self._lock:
            if self._ended_ms is not None:
                return
            if len(self.steps) >= MOST_STEPS:
                self.cut = True
                return
            at_ms = round((time.monotonic() - self._began) * 1000, 2)
            self.steps.append({"at_ms": at_ms, "who": who, "what": what, **more})

    def end(self) -> float:
        """Note nothing more; return when that was, in milliseconds. Of two calls the first counts."""
        sys.settrace(None)
        threading.settrace(None)
        with self._lock:
            if self._ended_ms is None:
                self._ended_ms = (time.monotonic() - self._began) * 1000
            return self._ended_ms

    def trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        """For `sys.settrace`: note each line of the program that a thread comes to."""
        if frame.f_code.co_filename != self._program or frame.f_code.co_name == "<module>":
            return None
        if event == "line":
            self.step(self.me(), "line", line=frame.f_lineno)
        return self.trace

    def follow_lines(self) -> None:
        """From now on note the lines of this thread, and of those that start later."""
        threading.settrace(self.trace)
        sys.settrace(self.trace)

    def _new_name(self, name: str) -> str:
        if name == "MainThread":
            return "main"
        numbered = re.search(r"worker[- ](\d+)$", name)
        if numbered:
            return f"worker {numbered[1]}"
        target = re.search(r"\((\w+)\)$", name)  # Thread-1 (worker): of a thread that was given no name
        plain = target[1] if target else name
        self._numbers[plain] += 1
        return f"{plain} {self._numbers[plain]}" if target else plain


def label(item: Any) -> str:
    """What is written on an item: the job's own number or name, whatever it is wrapped in."""
    if isinstance(item, Result):
        item = item.job
    if isinstance(item, Job):
        item = item.payload
    text = str(getattr(item, "name", item))
    return text if len(text) <= _LONGEST_LABEL else text[: _LONGEST_LABEL - 1] + "…"

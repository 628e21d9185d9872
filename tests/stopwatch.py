"""A stopwatch for bounds on what a server takes, on a machine that may stand still for a moment: while it does, the
watch stands still as well.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from types import TracebackType
from typing import Self

BEAT_S = 0.02
LATE_S = 0.05  # a beat that is later says something about the machine


class Stopwatch:
    """`with Stopwatch() as watch:` runs until the block ends; `watch.s` are the seconds so far, without `watch.lost_s`.

    Those are lost in which a thread of its own was late, that does nothing but sleep and have a byte written to the
    disk. On a machine that only has much to do it is hardly ever late: a server that is slow has no excuse.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # of the next two
        self._lost_s = 0.0
        self._beat = 0.0  # when the last one was over
        self._ended: float | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stopwatch", daemon=True)

    def __enter__(self) -> Self:
        self._began = self._beat = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._take_beat()
        self._ended = self._beat
        self._stop.set()
        self._thread.join()

    @property
    def lost_s(self) -> float:
        """Seconds in which the machine stood still."""
        if self._ended is None:
            self._take_beat()
        with self._lock:
            return self._lost_s

    @property
    def s(self) -> float:
        """Seconds since the beginning, or from there to the end, without those that were lost."""
        lost_s = self.lost_s
        return (time.monotonic() if self._ended is None else self._ended) - self._began - lost_s

    def _take_beat(self) -> None:
        """Whoever looks first after a standstill books it: the thread, or who asks."""
        with self._lock:
            now = time.monotonic()
            if self._ended is None:
                late_s = now - self._beat - BEAT_S
                self._lost_s += late_s if late_s > LATE_S else 0.0
                self._beat = now

    def _run(self) -> None:
        with tempfile.TemporaryFile() as file:
            while not self._stop.wait(BEAT_S):
                os.pwrite(file.fileno(), b"!", 0)
                os.fsync(file.fileno())
                self._take_beat()

"""A stop of this process, as signals ask for it: when the first one came, and whether a second one came after it.

`MasterHandler` is the master's handler, `Stop` what a gunicorn process makes of it: that owns the thread that hears of
the second one, since the main thread may be in the middle of a drain by then. `ask` and `ask_at_once` are for signal
handlers, so they take no lock.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType


class MasterHandler:
    """Handles SIGTERM and Ctrl-C in the process that makes it, the master: the first one drains, a second one stops at
    once. `tell` is gunicorn's own, which knows that as SIGQUIT; left to itself it would not drain at Ctrl-C, and not
    listen to a second SIGTERM.

    Each gunicorn process inherits it, until it handles signals itself. `missed` is whether one came before: the master
    tells it once only, and would wait until it kills it.
    """

    def __init__(self, tell: Callable[[int, FrameType | None], None]) -> None:
        self._tell = tell
        self._master = os.getpid()
        self._asked = False
        self.missed = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """As Python calls a handler."""
        if os.getpid() != self._master:
            self.missed = True
            return
        self._tell(signal.SIGQUIT if self._asked else signal.SIGTERM, frame)
        self._asked = True


class Stop:
    """`finish_nothing` is called, in a thread of its own, when the stop is to be at once. Made in the process that is
    to stop: what it opens is closed when that ends.
    """

    def __init__(self, finish_nothing: Callable[[], None]) -> None:
        self._finish_nothing = finish_nothing
        self._asked_at: float | None = None
        self._asked, self._ask = os.pipe()  # a signal handler may write, and take no lock
        self.at_once = False

    def listen(self) -> None:
        """Hear of a stop at once from now on, until the process ends."""
        threading.Thread(target=self._wait, name="imgpool-at-once", daemon=True).start()

    @property
    def asked(self) -> bool:
        """Whether the process is to stop."""
        return self._asked_at is not None

    def ask(self) -> bool:
        """Stop, when what was accepted is finished; whether this call is the first to say so."""
        first = self._asked_at is None
        if first:
            self._asked_at = time.monotonic()
        return first

    def ask_at_once(self) -> None:
        """Stop, and finish nothing."""
        self.at_once = True
        os.write(self._ask, b"!")

    def left_s(self, drain_timeout_s: float) -> float:
        """What is left of the time to drain, which begins when the stop is asked for; below 0 when it is over."""
        began = time.monotonic() if self._asked_at is None else self._asked_at
        return began + drain_timeout_s - time.monotonic()

    def _wait(self) -> None:
        os.read(self._asked, 1)
        self._finish_nothing()

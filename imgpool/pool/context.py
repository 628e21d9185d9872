"""A context: one piece of work's permission to go on.

Owns the answer to "shall I stop, why, and how long have I left?", for one job and everything done on its
behalf. A child ends with its parent, never the other way round. It never stops anything by force (threads
cannot be killed): whoever does the work asks, waits on it, or hands it to a channel call.

A deadline needs no timer thread: it is a time that `done` compares with the clock. So a deadline that
passes calls nobody back; whoever *waits* works out how long it may. Only `cancel()` calls back.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable
from types import TracebackType

from imgpool.pool.errors import Cancelled, DeadlineExceeded

Clock = Callable[[], float]

_DEADLINE = "deadline exceeded"
_log = logging.getLogger(__name__)


class Context:
    """A tree of cancellations and deadlines; every method may be called from any thread.

    `timeout_s` counts from now; the earlier of that and the parent's deadline holds. A child uses its parent's
    clock. The parent holds its children weakly, so one that was merely forgotten is collected; `close()` (or `with`)
    ends and detaches one at once.
    """

    __slots__ = (
        "__weakref__",
        "_callbacks",
        "_children",
        "_clock",
        "_deadline",
        "_expired",
        "_lock",
        "_parent",
        "_reason",
        "_ref",
    )

    def __init__(
        self, parent: Context | None = None, *, timeout_s: float | None = None, clock: Clock | None = None
    ) -> None:
        self._lock = threading.Lock()  # guards _reason, _expired and _callbacks
        self._reason: str | None = None
        self._expired = False
        self._callbacks: dict[object, Callable[[], None]] | None = None
        # Refs, not contexts. Each dead child's ref takes itself out; add, discard and copy are atomic.
        self._children: set[weakref.ref[Context]] = set()
        self._parent = parent
        self._ref: weakref.ref[Context] | None = None
        self._deadline: float | None = None
        self._clock: Clock = clock or (time.monotonic if parent is None else parent._clock)
        if timeout_s is not None:
            self._deadline = self._clock() + timeout_s
        if parent is None:
            return
        if self._clock is not parent._clock:
            raise ValueError("a child uses its parent's clock: two clocks' deadlines cannot be compared")
        if parent._deadline is not None and (self._deadline is None or parent._deadline < self._deadline):
            self._deadline = parent._deadline
        self._ref = weakref.ref(self, parent._children.discard)
        # First join, then look: a parent cancelled in between either finds this child or is seen here.
        parent._children.add(self._ref)
        if parent._reason is not None:
            self.cancel(parent._reason)

    def child(self, timeout_s: float | None = None) -> Context:
        """Return a new context that ends with this one, at the latest after `timeout_s` seconds."""
        return Context(self, timeout_s=timeout_s)

    def cancel(self, reason: str = "cancelled") -> None:
        """End this context and its children, then call back whoever asked; the first reason wins.

        Never blocks, except as long as the callbacks do. When it returns, every callback has run.
        """
        with self._lock:
            if self._reason is not None:
                return
            self._expired = self._deadline is not None and self._clock() >= self._deadline
            self._reason = _DEADLINE if self._expired else reason
            callbacks, self._callbacks = self._callbacks, None
        if self._children:
            for ref in self._children.copy():
                if (child := ref()) is not None:
                    child.cancel(reason)
        # Outside the lock: a callback takes its channel's lock, whose holder may be asking us whether we
        # are done.
        for callback in (callbacks or {}).values():
            try:
                callback()
            except Exception:
                _log.exception("a callback of a cancelled context failed; the others are still called")

    def close(self) -> None:
        """End the context because its work is over, and leave the parent. Idempotent."""
        self.cancel("closed")
        if self._parent is not None and self._ref is not None:
            self._parent._children.discard(self._ref)

    @property
    def done(self) -> bool:
        """True once cancelled, once a parent is, or once the deadline has passed; then for ever."""
        return self._reason is not None or (self._deadline is not None and self._clock() >= self._deadline)

    @property
    def reason(self) -> str | None:
        """Why it is done, or None while it is not."""
        if self._reason is None and self.done:
            return _DEADLINE
        return self._reason

    def remaining_s(self) -> float | None:
        """Seconds left, never negative: 0.0 once done, None when there is no deadline."""
        if self._reason is not None:
            return 0.0
        if self._deadline is None:
            return None
        return max(0.0, self._deadline - self._clock())

    def check(self) -> None:
        """Return while the work may go on; raise `Cancelled` or `DeadlineExceeded` once it must stop."""
        # Read once: a cancel that comes between two reads must not be answered with two different reasons.
        reason = self._reason
        if reason is not None and not self._expired:
            raise Cancelled(reason)
        if reason is not None or self.done:
            raise DeadlineExceeded(_DEADLINE)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Block until the context is done or `timeout_s` has passed; return whether it is done."""
        limit = None if timeout_s is None else time.monotonic() + timeout_s
        cancelled = threading.Event()
        unregister = self.on_done(cancelled.set)
        try:
            while not self.done:
                wait_s = shortest(limit, self)
                if wait_s is not None and wait_s <= 0:
                    break
                cancelled.wait(wait_s)
            return self.done
        finally:
            unregister()

    def on_done(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have `callback` called once by whoever cancels, or here and now if that has happened; return the
        way out.

        It must not block for long. A deadline that passes does not call it (see the module's docstring).
        Keep a reference to the context: an unreachable one can be cancelled by nobody.
        """
        token = object()
        with self._lock:
            cancelled = self._reason is not None
            if not cancelled:
                if self._callbacks is None:
                    self._callbacks = {}
                self._callbacks[token] = callback
        if cancelled:
            callback()

        def unregister() -> None:
            with self._lock:
                if self._callbacks is not None:
                    self._callbacks.pop(token, None)

        return unregister

    def __enter__(self) -> Context:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def shortest(limit: float | None, ctx: Context | None) -> float | None:
    """Return how many seconds a wait may last: until `limit` (monotonic) or the context's deadline; None:
    for ever.

    Never more than a lock can wait for, so `float("inf")` is a valid time limit.
    """
    wait_s = None if limit is None else max(0.0, limit - time.monotonic())
    remaining_s = None if ctx is None else ctx.remaining_s()
    if remaining_s is not None and (wait_s is None or remaining_s < wait_s):
        wait_s = remaining_s
    return None if wait_s is None else min(wait_s, threading.TIMEOUT_MAX)

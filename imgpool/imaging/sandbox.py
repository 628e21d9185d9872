"""Where a worker thread has its images processed: in a decoder child of its own, or in the thread itself.

Owns the life of the children: time limit, memory limit, replacement. Never imports PIL in this process, except
`InThread`, which exists for that.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from imgpool.errors import (
    DecodeFailed,
    DecoderCrashed,
    ImageTooLarge,
    ImagingError,
    JobCancelled,
    JobTimedOut,
    MachineFailed,
    OutOfMemory,
    UnsupportedFormat,
)
from imgpool.imaging.child_process import ChildProcess, drain
from imgpool.imaging.model import Limits, Made
from imgpool.imaging.outputs import possible_filenames, remove_variants
from imgpool.imaging.recipe import Recipe

_log = logging.getLogger(__name__)

_START_LIMIT_S = 60.0  # loading Pillow takes a third of a second; a machine that swaps may take long
_MAX_MESSAGE = 1000
# What a child may say of an image. Everything else about a child is for its parent to say.
_KINDS = {
    kind.kind: kind
    for kind in (ImagingError, UnsupportedFormat, ImageTooLarge, DecodeFailed, OutOfMemory, MachineFailed)
}


class CancelSignal(Protocol):
    """Permission to go on, as `imgpool.pool.Context` gives it."""

    @property
    def done(self) -> bool:
        """True once the work must stop."""
        ...

    @property
    def reason(self) -> str | None:
        """Why, once done."""
        ...

    def remaining_s(self) -> float | None:
        """Seconds until the deadline, None without one."""
        ...

    def on_done(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back, from any thread, when cancelled (a deadline that passes calls nobody); return what undoes it."""
        ...

    def check(self) -> None:
        """Raise when done."""
        ...


class Processor(Protocol):
    """Processes one image at a time for one thread."""

    def process(self, original: Path, into: Path, *, timeout_s: float | None, cancelled: CancelSignal) -> Made:
        """Make the variants of `original` in the existing directory `into`; blocks. Raises `ImagingError` only."""
        ...

    def close(self) -> None:
        """Release everything. Idempotent."""
        ...


class _Deadline:
    """The earlier of one image's own limit and its signal's; says which error ends it."""

    def __init__(self, timeout_s: float | None, cancelled: CancelSignal) -> None:
        self._timeout_s = timeout_s
        self._cancelled = cancelled
        self._own = None if timeout_s is None else time.monotonic() + timeout_s

    def at(self) -> float | None:
        """Return the monotonic time at which to stop, None for never."""
        remaining = self._cancelled.remaining_s()
        times = [] if remaining is None else [time.monotonic() + remaining]
        return min(times + ([] if self._own is None else [self._own]), default=None)

    def error(self) -> ImagingError | None:
        """Return why to stop, None while not."""
        if self._own is not None and time.monotonic() >= self._own:
            return JobTimedOut(
                f"Processing took longer than the limit of {self._timeout_s:g} s for one image. "
                "Scale the image down and upload it again."
            )
        if self._cancelled.done:
            return JobCancelled(f"Processing was stopped: {self._cancelled.reason or 'cancelled'}.")
        return None

    def check(self) -> None:
        """Raise when it is time to stop."""
        if (error := self.error()) is not None:
            raise error


class InThread:
    """Calls Pillow in the calling thread: no protection from a crash, and a limit takes effect between steps only."""

    def __init__(self, recipe: Recipe, limits: Limits, *, sync: bool = True) -> None:
        self._recipe = recipe
        self._limits = limits
        self._sync = sync

    def process(self, original: Path, into: Path, *, timeout_s: float | None, cancelled: CancelSignal) -> Made:
        """See `Processor`. May be called from any thread."""
        from imgpool.imaging.pipeline import make_variants  # here, so that others never load PIL

        deadline = _Deadline(timeout_s, cancelled)
        return make_variants(original, into, self._recipe, self._limits, deadline.check, sync=self._sync)

    def close(self) -> None:
        """Hold nothing, release nothing."""


class InChild:
    """Has a decoder child of its own. Everything is for the one thread that owns it: on Linux the child ends with
    the thread that started it. `close` must be called.

    `memory_bytes()` is the limit of a child from now on. One that was started with another is replaced before it gets
    its next image: a process that decodes untrusted bytes must not be able to raise its own limit.
    """

    def __init__(self, recipe: Recipe, limits: Limits, memory_bytes: Callable[[], int], *, sync: bool = True) -> None:
        self._recipe = recipe
        self._settings: dict[str, Any] = {
            "recipe": [asdict(variant) for variant in recipe.variants],
            "limits": asdict(limits),
            "sync": sync,
        }
        self._memory_bytes = memory_bytes
        self._limit = 0  # with which the child was started
        self._child: ChildProcess | None = None
        # A cancel, from whatever thread, writes here and wakes the owner, which alone kills and reaps: nobody else
        # can hit a process id that has been given to another process meanwhile.
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._wake_lock = threading.Lock()  # guards _closed
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The child's process id, None while there is none."""
        return None if self._child is None else self._child.pid

    def start(self) -> None:
        """Start the child and wait until it can decode. Raises `DecoderCrashed` when it cannot be started."""
        self._ensure_ready(time.monotonic() + _START_LIMIT_S, lambda: False)

    def process(self, original: Path, into: Path, *, timeout_s: float | None, cancelled: CancelSignal) -> Made:
        """See `Processor`. At the limit, or when cancelled, the child is killed at once and replaced."""
        if self._closed:
            raise DecoderCrashed("The decoder has been closed.")
        drain(self._wake_read)  # a cancel of the previous image may have come late
        deadline: _Deadline | None = None
        unregister = cancelled.on_done(self._wake)
        try:
            while True:
                if cancelled.done:
                    raise JobCancelled(f"Processing was stopped: {cancelled.reason or 'cancelled'}.")
                child = self._ensure_ready(time.monotonic() + _START_LIMIT_S, lambda: cancelled.done)
                if child is None:
                    continue
                # Counted from when a child is ready, and once: a second try gets no second helping of time.
                deadline = deadline or _Deadline(timeout_s, cancelled)
                try:
                    return self._ask(child, original, into, timeout_s, deadline)
                except OutOfMemory:
                    # What earlier images left behind counts too. Give this one a child that has done nothing else.
                    self._discard()
                    if child.images <= 1:
                        raise
        except ImagingError as error:
            if isinstance(error, JobTimedOut | JobCancelled | DecoderCrashed):
                remove_variants(self._recipe, into)
            raise
        finally:
            unregister()

    def _ask(
        self, child: ChildProcess, original: Path, into: Path, timeout_s: float | None, deadline: _Deadline
    ) -> Made:
        child.images += 1
        child.send({"original": str(original), "into": str(into), "timeout_s": timeout_s})
        try:
            answer = child.receive(deadline.at(), self._wake_read, lambda: deadline.error() is not None)
            if answer is None:
                deadline.check()
                raise JobTimedOut("Processing took longer than the limit for one image.")
            return self._read(answer)
        except (JobTimedOut, JobCancelled, DecoderCrashed) as error:
            self._discard()
            if isinstance(error, DecoderCrashed):
                _log.warning("decoder child %d: %s\n%s", child.pid, error, child.stderr_tail)
            if not isinstance(error, JobCancelled):
                self._child = self._new_child()  # warm by the time the next image comes
            raise

    def _read(self, answer: dict[str, Any]) -> Made:
        """Believe an answer only as far as it can be checked: its sender has decoded untrusted bytes."""
        if kind := _KINDS.get(str(answer.get("kind"))):
            raise kind(str(answer.get("message"))[:_MAX_MESSAGE])
        try:
            made = Made.from_json(answer["made"])
            for variant, expected in zip(made.variants, self._recipe.variants, strict=True):
                if variant.name != expected.name or variant.filename not in possible_filenames(expected):
                    raise ValueError(variant.filename)
        except (KeyError, TypeError, ValueError) as error:
            raise DecoderCrashed("The decoder answered nonsense for this image, and was ended.") from error
        return made

    def _ensure_ready(self, deadline: float, stop: Callable[[], bool]) -> ChildProcess | None:
        """Return a child that can decode; None when told to stop meanwhile."""
        if self._child is not None and not self._child.alive:
            self._discard()  # it was killed between two images; nobody's picture is to blame
        if self._child is not None and self._limit != self._memory_bytes():
            self._discard()
        if self._child is None:
            self._child = self._new_child()
        child = self._child
        if not child.ready:
            try:
                answer = child.receive(deadline, self._wake_read, stop)
            except DecoderCrashed as error:
                self._discard()
                _log.error("a decoder child could not be started: %s\n%s", error, child.stderr_tail)
                raise MachineFailed("The decoder could not be started. The server's log says why.") from error
            if answer is None:
                if stop():
                    return None
                self._discard()
                raise MachineFailed(f"The decoder did not start within {_START_LIMIT_S:g} s.")
            child.ready = True
        return child

    def _new_child(self) -> ChildProcess:
        self._limit = self._memory_bytes()
        return ChildProcess({**self._settings, "memory_bytes": self._limit})

    def _discard(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()

    def _wake(self) -> None:
        # The lock is against `close`: a callback that comes late must not write to a number given to another file.
        with self._wake_lock, contextlib.suppress(BlockingIOError):  # a full pipe wakes as well
            if not self._closed:
                os.write(self._wake_write, b"!")

    def close(self) -> None:
        """Kill and reap the child, close every pipe. Idempotent."""
        with self._wake_lock:
            if self._closed:
                return
            self._closed = True
            os.close(self._wake_read)
            os.close(self._wake_write)
        self._discard()

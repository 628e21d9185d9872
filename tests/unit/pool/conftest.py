"""What the tests of the pool share: gates with a time limit, and a check that no thread is left alive."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

WAIT_S = 60.0  # no test waits this long unless it fails
PREFIX = "test-pool"


@pytest.fixture(autouse=True)
def _no_thread_left() -> Iterator[None]:
    """Fail when a thread of a pool, or one started by `in_thread`, outlives its test."""
    yield
    limit = time.monotonic() + WAIT_S
    for thread in threading.enumerate():
        if thread.name.startswith(PREFIX):
            thread.join(max(0.0, limit - time.monotonic()))
    left = [thread.name for thread in threading.enumerate() if thread.name.startswith(PREFIX)]
    assert not left, f"threads left alive: {left}"


class Call:
    """A call in a thread of its own: its result or its error, with a time limit."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._value: Any = None
        self._error: BaseException | None = None

        def run() -> None:
            try:
                self._value = function()
            except BaseException as error:
                self._error = error

        self._thread = threading.Thread(target=run, name=f"{PREFIX}-call", daemon=True)
        self._thread.start()

    def result(self) -> Any:
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive(), "the call still blocks"
        if self._error is not None:
            raise self._error
        return self._value

    @property
    def running(self) -> bool:
        return self._thread.is_alive()


@pytest.fixture
def in_thread() -> Callable[[Callable[[], Any]], Call]:
    return Call


def _until(condition: Callable[[], bool]) -> None:
    """Wait for a state that nothing signals (a thread has gone to sleep in a call): look until it is there."""
    limit = time.monotonic() + WAIT_S
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < limit, "the awaited state did not come"
        pause.wait(0.001)


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], None]:
    return _until


class Gate:
    """A handler that says when it is in, and stays there until it is let out."""

    def __init__(self) -> None:
        self._entered = threading.Semaphore(0)
        self._leave = threading.Semaphore(0)
        self.open = False

    def __call__(self, ctx: Any, payload: Any) -> Any:
        self._entered.release()
        if not self.open:
            assert self._leave.acquire(timeout=WAIT_S), "nobody let the handler out"
        return payload

    def wait_entered(self, times: int = 1) -> None:
        for _ in range(times):
            assert self._entered.acquire(timeout=WAIT_S), "no handler came in"

    def let_out(self, times: int = 1) -> None:
        self._leave.release(times)

    def open_wide(self) -> None:
        self.open = True
        self._leave.release(1000)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open_wide()

"""The learner's program as the checks see it: its functions, called with arguments that it does not know beforehand.

Owns the bounds on what it prints, and the translation of its errors into sentences. In the child process only.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import re
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from imgpool.learn.exercises import recorder
from imgpool.learn.exercises.finding import Finding
from imgpool.learn.exercises.recorder import Note
from imgpool.learn.runner import load
from imgpool.pool import DeadlockError, Event

MOST_PRINTED = 100_000  # characters


class Missing(Exception):
    """Without this nothing further can be checked; the text says what is missing."""


class TooMuchPrinted(BaseException):
    """The program prints without end. Not an Exception, so that a program's own `except Exception` lets it pass."""


class _Printed(io.StringIO):
    too_much = False

    def write(self, text: str) -> int:
        if self.tell() + len(text) > MOST_PRINTED:
            self.too_much = True
            raise TooMuchPrinted
        return super().write(text)


@dataclass(frozen=True)
class Run:
    """What a call of one of the program's functions did. `said` names the call."""

    said: str
    value: Any
    printed: str
    took_s: float
    notes: list[Note]
    events: list[Event]

    def of(self, kind: Literal["send", "receive", "close", "channel", "team", "deadlock"], on: str = "") -> list[Note]:
        """Return the notes of one kind, of all channels or of one."""
        return [note for note in self.notes if note.kind == kind and (not on or note.on == on)]

    def results(self) -> list[int]:
        """Return the numbers N of all lines "Result: N"."""
        return [int(number) for number in re.findall(r"^Result: (-?\d{1,18})$", self.printed, re.MULTILINE)]

    def no_deadlock(self) -> Finding:
        """Return whether it went without a deadlock, also without one that the program has caught."""
        deadlocks = self.of("deadlock")
        told = f"{self.said} has a deadlock, which the program has caught: {deadlocks[0].item}" if deadlocks else ""
        return Finding(not deadlocks, told or f"{self.said} comes to its end")

    def through_workers(self, expected: list[Any], what: str) -> Finding:
        """Return whether the expected results came out of other threads, through a channel named "results"."""
        sent = sorted(note.item for note in self.of("send", "results") if note.thread != "main")
        return Finding(
            sent == expected,
            f"the workers sent {what} through the results channel"
            if sent == expected
            else f'what the workers send through the channel named "results" should be {what}, {_few(expected)}; '
            f"it is {_few(sent)}",
        )


class Program:
    """The file, loaded. Raises `Missing` when it cannot be."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._bounded(f"loading {path.name}"):
            self._module: ModuleType = load(path)

    def call(self, name: str, *args: Any, **options: Any) -> Run:
        """Call one of its functions. Raises `Missing` if there is none, or if it ends with an error."""
        function = getattr(self._module, name, None)
        given = ", ".join([*map(_brief, args), *(f"{key}={_brief(value)}" for key, value in options.items())])
        said = f"{name}({given})"
        if not callable(function):
            raise Missing(f"the program has no function {name}(): keep the one of the starter file")
        try:
            inspect.signature(function).bind(*args, **options)
        except (TypeError, ValueError) as error:
            raise Missing(f"{said} cannot be called: {error}; keep the parameters of the starter file") from None
        notes_before, events_before = len(recorder.notes), len(recorder.events)
        began = time.monotonic()
        with self._bounded(said) as printed:
            value = function(*args, **options)
        took_s = time.monotonic() - began
        return Run(
            said,
            value,
            printed.getvalue(),
            took_s,
            recorder.notes[notes_before:],
            recorder.events[events_before:],
        )

    @contextlib.contextmanager
    def _bounded(self, said: str) -> Iterator[_Printed]:
        printed = _Printed()
        try:
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
                yield printed
        except BaseException as error:
            if printed.too_much:  # whatever followed from it: the thread that printed died, and others waited for it
                raise Missing(f"{said} prints more than {MOST_PRINTED} characters, where some lines will do") from None
            raise Missing(f"{said} {self._what_went_wrong(error)}") from None

    def _what_went_wrong(self, error: BaseException) -> str:
        if isinstance(error, DeadlockError):
            return f"ends in a {error}"
        if isinstance(error, SyntaxError) and error.filename == str(self._path):
            return f"fails: line {error.lineno} is not Python: {error.msg}"
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == str(self._path)]
        return f"ends with {type(error).__name__}: {error}{f' (line {lines[-1]})' if lines else ''}"


def _brief(value: object) -> str:
    if not isinstance(value, int | float | str | tuple | list | None):
        return f"a {type(value).__name__.removeprefix('_')}"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


def _few(items: list[Any]) -> str:
    return ", ".join(map(_brief, items[:8])) + (", …" if len(items) > 8 else "") if items else "nothing"

"""The lessons and the exercises, in order: what `imgpool lesson`, `imgpool exercise` and the learn page show.

Owns the reading of their files: what one is called and what it says stands in its own docstring, first the title, then
the idea (of an exercise: the task). They are programs, `NN_slug.py`, which `import` could not even name.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

LESSONS_DIR = Path(__file__).parent / "lessons"
STARTERS_DIR = Path(__file__).parent / "exercises" / "starters"


@dataclass(frozen=True, slots=True)
class Program:
    """One file `NN_slug.py`."""

    number: int
    slug: str
    title: str
    idea: str
    path: Path

    def source(self) -> str:
        """Return the program's text."""
        return self.path.read_text(encoding="utf-8")


P = TypeVar("P", bound=Program)


class Lesson(Program):
    """A program to read and run; `idea` is one sentence."""


class Exercise(Program):
    """A program to start from; `idea` is the task."""


def _read(kind: type[P], path: Path) -> P:
    docstring = ast.get_docstring(ast.parse(path.read_bytes())) or ""
    title, idea = (" ".join(paragraph.split()) for paragraph in docstring.split("\n\n")[:2])
    number, _, slug = path.stem.partition("_")
    return kind(int(number), slug, title, idea, path)


def _all(kind: type[P], folder: Path) -> tuple[P, ...]:
    return tuple(_read(kind, path) for path in sorted(folder.glob("[0-9][0-9]_*.py")))


LESSONS: tuple[Lesson, ...] = _all(Lesson, LESSONS_DIR)
EXERCISES: tuple[Exercise, ...] = _all(Exercise, STARTERS_DIR)

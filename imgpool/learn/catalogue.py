"""The lessons, in order: what `imgpool lesson` lists and the learn page shows.

Owns the reading of the lesson files: what a lesson is called and what it says stands in its own docstring, first the
title, then the idea in one sentence. They are programs, `NN_name.py`, and never imported as modules: `NN` is no name.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

LESSONS_DIR = Path(__file__).parent / "lessons"


@dataclass(frozen=True, slots=True)
class Lesson:
    """One program: `lessons/NN_slug.py`."""

    number: int
    slug: str
    title: str
    idea: str
    path: Path

    def source(self) -> str:
        """Return the program's text."""
        return self.path.read_text(encoding="utf-8")


def _read(path: Path) -> Lesson:
    docstring = ast.get_docstring(ast.parse(path.read_bytes())) or ""
    title, idea = (" ".join(paragraph.split()) for paragraph in docstring.split("\n\n")[:2])
    number, _, slug = path.stem.partition("_")
    return Lesson(int(number), slug, title, idea, path)


LESSONS: tuple[Lesson, ...] = tuple(_read(path) for path in sorted(LESSONS_DIR.glob("[0-9][0-9]_*.py")))

"""The lesson files: numbered, short, and built from the pool, the standard library and imaging alone."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from imgpool.imaging.samples import sample_images
from imgpool.learn.catalogue import LESSONS, LESSONS_DIR, Lesson

EACH = pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.slug)


def _is_standard(name: str) -> bool:
    return name.partition(".")[0] in sys.stdlib_module_names


def test_they_are_numbered_from_1_without_gaps() -> None:
    assert [lesson.number for lesson in LESSONS] == list(range(1, len(LESSONS) + 1))
    assert len(LESSONS) == len(list(LESSONS_DIR.glob("*.py")))


@EACH
def test_each_says_what_it_is(lesson: Lesson) -> None:
    assert re.fullmatch(r"[A-Z][^.]{3,60}", lesson.title)
    assert lesson.idea.endswith((".", "?"))
    assert 40 < len(lesson.idea) < 200


@EACH
def test_each_is_under_60_lines(lesson: Lesson) -> None:
    assert len(lesson.source().splitlines()) < 60


@EACH
def test_each_imports_only_what_a_lesson_may(lesson: Lesson) -> None:
    for node in ast.walk(ast.parse(lesson.source())):
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            assert name == "imgpool.pool" or re.match(r"imgpool\.imaging\.", name) or _is_standard(name), name


def test_the_samples_of_the_lessons_are_in_the_wheel(tmp_path: Path) -> None:
    """A wheel holds `imgpool/sample_images`; a checkout has them beside the package."""
    top = LESSONS_DIR.parents[2]
    included = re.findall(r'"(sample_images/\S+)" = "imgpool/sample_images/\S+"', (top / "pyproject.toml").read_text())
    assert len(included) >= 9
    assert {top / name for name in included} <= set(sample_images())
    package = tmp_path / "imgpool"
    (package / "sample_images").mkdir(parents=True)
    (package / "sample_images" / "one.jpg").write_bytes(b"")
    code = (
        "import imgpool\n"
        f"imgpool.__file__ = {str(package / '__init__.py')!r}\n"
        "from imgpool.imaging.samples import sample_images\n"
        "print([path.name for path in sample_images()])\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert told.stdout == "['one.jpg']\n"

"""Lessons and exercises on a terminal: what `imgpool lesson` and `imgpool exercise` print.

Owns the words around the programs. Decides nothing about them.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from imgpool.errors import SettingError
from imgpool.learn.catalogue import Exercise, Lesson, Program
from imgpool.learn.exercises.judge import judge
from imgpool.learn.runner import load, parameters, run, shown, values
from imgpool.pool import DeadlockError

WIDTH = 100


def list_programs(programs: Iterable[Program]) -> None:
    """Print what there is, with each one's idea."""
    for each in programs:
        click.echo(f"{each.number:3}  {click.style(each.title, bold=True)}")
        click.echo(textwrap.fill(each.idea, WIDTH, initial_indent=" " * 5, subsequent_indent=" " * 5))


def teach(lesson: Lesson, what: str | None, changes: Sequence[str]) -> int:
    """Show a lesson's source, run it, or both (None), and return the exit status. Raises `SettingError`."""
    texts = _pairs(lesson, changes)
    defaults = parameters(load(lesson.path).main)
    values(lesson, defaults, texts)  # before anything is printed
    if what == "source":
        click.echo(lesson.source(), nl=False)
        return 0
    if what is None:
        click.echo(lesson.source())
        given = " ".join(f"--{name.replace('_', '-')} {shown(texts.get(name, defaults[name]))}" for name in defaults)
        _rule(f"imgpool lesson {lesson.number} {given}")
    try:
        run(lesson, texts)
    except DeadlockError as error:
        click.echo(textwrap.fill(str(error), WIDTH), err=True)
        return 1
    return 0


def start(exercise: Exercise, to: Path) -> None:
    """Write an exercise's starter file. Raises `SettingError` when there is a file already, or none can be written."""
    try:
        with to.open("x", encoding="utf-8") as file:
            file.write(exercise.source())
    except FileExistsError:
        raise SettingError(f"{to} is there already, and is not overwritten: name another with --to FILE") from None
    except OSError as error:
        raise SettingError(f"--to: {str(to)!r} cannot be written: {error.strerror}") from None
    click.echo(f"Exercise {exercise.number}: {exercise.title}\n")
    click.echo(textwrap.fill(exercise.idea, WIDTH))
    click.echo(f"\nStart from {to}. To check it: imgpool exercise {exercise.number} --check {to}")


def check(exercise: Exercise, file: Path) -> int:
    """Check a solution, print what is right and what is missing, and return the exit status."""
    if not file.is_file():
        raise SettingError(f"--check: {str(file)!r} is not a file")
    verdict = judge(exercise, file)
    click.echo(f"Exercise {exercise.number}: {exercise.title}\n")
    for finding in verdict.findings:
        word = "right  " if finding.right else "missing"
        text = textwrap.fill(finding.text, WIDTH, initial_indent=" " * 11, subsequent_indent=" " * 11)
        click.echo(f"  {click.style(word, fg='green' if finding.right else 'red')}  {text[11:]}")
    missing = sum(not finding.right for finding in verdict.findings)
    click.echo("\nSolved." if verdict.solved else f"\nNot yet: {missing} missing.")
    return 0 if verdict.solved else 1


def _rule(title: str) -> None:
    click.echo(click.style(f"── {title} {'─' * max(0, WIDTH - len(title) - 4)}", dim=True))


def _pairs(lesson: Lesson, changes: Sequence[str]) -> dict[str, str]:
    """Read `--name value` and `--name=value`."""
    texts: dict[str, str] = {}
    left = list(changes)
    while left:
        option = left.pop(0)
        name, equals, text = option.removeprefix("--").partition("=")
        if not option.startswith("--") or not name:
            raise SettingError(f"lesson {lesson.number}: {option!r} is not a parameter; write --workers 4, for example")
        if not equals:
            if not left:
                raise SettingError(f"{option} needs a value")
            text = left.pop(0)
        texts[name.replace("-", "_")] = text
    return texts

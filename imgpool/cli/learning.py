"""Commands for those who learn: `lesson` and `exercise`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from imgpool.cli.ending import SETTING_ERROR, fail
from imgpool.errors import SettingError


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("number", required=False, type=int)
@click.option("--source", "what", flag_value="source", help="only show the program, as it can be saved and changed")
@click.option("--run", "what", flag_value="run", help="only run it")
@click.argument("changes", nargs=-1, type=click.UNPROCESSED, metavar="[--PARAMETER VALUE]...")
def lesson(number: int | None, what: str | None, changes: tuple[str, ...]) -> None:
    """Lessons about worker pools: list them, or show and run one.

    Each has parameters of its own, which it names: imgpool lesson 5 --workers 1,2,4,8,16
    """
    from imgpool.learn.catalogue import LESSONS
    from imgpool.learn.terminal import list_programs, teach

    if number is None:
        list_programs(LESSONS)
        click.echo('\n"imgpool lesson 2" shows a lesson\'s program and runs it.')
        return
    chosen = next((each for each in LESSONS if each.number == number), None)
    if chosen is None:
        fail(f"there is no lesson {number}; there are 1 to {len(LESSONS)}", SETTING_ERROR)
    try:
        sys.exit(teach(chosen, what, changes))
    except SettingError as error:
        fail(str(error), SETTING_ERROR)


@click.command()
@click.argument("number", required=False, type=int)
@click.option("--check", "solution", type=click.Path(path_type=Path), metavar="FILE", help="say what is right in FILE")
@click.option("--to", type=click.Path(path_type=Path), metavar="FILE", help="where to write the starter file")
def exercise(number: int | None, solution: Path | None, to: Path | None) -> None:
    """Exercises: list them, write the file to start from, or check a solution.

    A solution is run in a child process, for some seconds at most. Exit status 0 when nothing is missing, else 1.
    """
    from imgpool.learn import terminal
    from imgpool.learn.catalogue import EXERCISES

    if number is None:
        terminal.list_programs(EXERCISES)
        click.echo(
            '\n"imgpool exercise 1" writes a file to start from; "imgpool exercise 1 --check FILE" checks yours.'
        )
        return
    chosen = next((each for each in EXERCISES if each.number == number), None)
    if chosen is None:
        fail(f"there is no exercise {number}; there are 1 to {len(EXERCISES)}", SETTING_ERROR)
    try:
        if solution is not None:
            sys.exit(terminal.check(chosen, solution))
        terminal.start(chosen, to or Path(f"exercise_{chosen.path.name}"))
    except SettingError as error:
        fail(str(error), SETTING_ERROR)

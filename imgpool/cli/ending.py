"""How a command ends when it cannot do what it was asked: one line, and an exit status."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import click

SETTING_ERROR = 2


def fail(line: str, status: int) -> NoReturn:
    """Say why, and exit."""
    click.echo(f"imgpool: {line}", err=True)
    sys.exit(status)


@contextmanager
def needs_extra(name: str) -> Iterator[None]:
    """What is imported inside needs this extra: say so when it is missing, and exit."""
    try:
        yield
    except ModuleNotFoundError as error:
        fail(f"{error.name} is missing: this needs the extra, pip install 'imgpool[{name}]'", 1)


def end_in_order() -> None:
    """SIGTERM as an exit: what was started is ended, and temporary directories go."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))

"""Runs a lesson in this process, with parameters changed if wanted.

A lesson's parameters are those of its `main`: name, kind and default stand there and nowhere else. Owns the reading of
their values from text. Never runs a lesson in the background: `run` returns when its `main` does.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from imgpool.errors import SettingError
from imgpool.learn.catalogue import Lesson

LARGEST_NUMBER = 10_000  # of workers, jobs, places: a lesson really makes that many
SHORTEST_S = 0.001  # lessons divide by their times
_NONE_IS_ALLOWED = ("buffer", "capacities", "places")  # in the names of parameters; nothing is learnt from 0 workers


def load(path: Path) -> ModuleType:
    """Return a program as a module, without running its `main`. Its file need not have a name that can be imported."""
    spec = spec_from_file_location(f"imgpool_program_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python program (its name must end in .py)")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def parameters(main: Callable[..., Any]) -> dict[str, Any]:
    """Return the names of a `main`'s parameters and their defaults."""
    return {name: parameter.default for name, parameter in inspect.signature(main).parameters.items()}


def shown(value: object) -> str:
    """Write a value as it would be given."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def run(lesson: Lesson, texts: Mapping[str, str]) -> None:
    """Run a lesson with the parameters in `texts` changed. Blocks, and prints.

    Raises `SettingError`, also for what the lesson itself refuses with ValueError; else what its `main` does.
    """
    main = load(lesson.path).main
    given = values(lesson, parameters(main), texts)
    try:
        main(**given)
    except ValueError as error:
        raise SettingError(f"lesson {lesson.number}: {error}") from error


def values(lesson: Lesson, defaults: Mapping[str, Any], texts: Mapping[str, str]) -> dict[str, Any]:
    """Read the texts as values of the defaults' kinds. Raises `SettingError`."""
    read: dict[str, Any] = {}
    for name, text in texts.items():
        if name not in defaults:
            options = ", ".join(_option(each) for each in defaults)
            raise SettingError(f"lesson {lesson.number} has no {_option(name)}; it has {options}")
        try:
            read[name] = _value(defaults[name], text, 0 if any(each in name for each in _NONE_IS_ALLOWED) else 1)
        except ValueError as error:
            raise SettingError(f"{_option(name)}: {text!r} is not allowed; allowed: {error}") from None
    return read


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _value(default: object, text: str, least: int) -> Any:
    if isinstance(default, tuple):
        return tuple(_value(default[0], part, least) for part in text.split(","))
    if isinstance(default, int):
        if not (text.isascii() and text.isdecimal() and len(text) < 9 and least <= int(text) <= LARGEST_NUMBER):
            raise ValueError(f"a whole number from {least} to {LARGEST_NUMBER}, as {shown(default)}")
        return int(text)
    if isinstance(default, float):
        try:
            number = float(text)
        except ValueError:
            number = -1.0
        if not SHORTEST_S <= number <= 60:
            raise ValueError(f"seconds from {SHORTEST_S} to 60, as {shown(default)}")
        return number
    return text

"""Settings on the command line: an option for each, as `imgpool.config` describes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from imgpool.cli.ending import SETTING_ERROR, fail
from imgpool.config import FIELDS, Settings, load, option, variable
from imgpool.errors import SettingError

Command = Callable[..., Any]


def settings_options(*names: str) -> Callable[[Command], Command]:
    """Options for these settings (all when none is named), and `--config`. Values are checked by `imgpool.config`."""

    def add(command: Command) -> Command:
        for field in reversed([field for field in FIELDS if not names or field.name in names]):
            help_text = f"{field.metadata['help']}  [default: {field.metadata['shown']}; {variable(field.name)}]"
            switch: dict[str, Any] = {}
            if isinstance(field.default, bool):  # the option's name alone is enough
                switch = {"is_flag": False, "flag_value": "yes"}
            metavar = "[yes|no]" if switch else field.name.split("_")[-1].upper()
            command = click.option(option(field.name), metavar=metavar, help=help_text, **switch)(command)
        return click.option("--config", metavar="FILE.toml", help="file with settings [IMGPOOL_CONFIG]")(command)

    return add


def settings_of(options: Mapping[str, str | None]) -> Settings:
    """The settings that these options, the environment and the file make. Ends the command when they cannot be used."""
    try:
        return load(options)
    except SettingError as error:
        fail(str(error), SETTING_ERROR)

"""Every setting once: its name, unit, default, check and help.

Order of precedence: command line over environment (`IMGPOOL_<NAME>`) over TOML file over default. A
setting that cannot be used raises `SettingError` with one line that names it, its value and what is
allowed. This module reads no clock, starts nothing and writes nothing.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imgpool.errors import SettingError

KIB, MIB, GIB = 1024, 1024**2, 1024**3
_SUFFIX = {"": 1, "k": KIB, "kib": KIB, "m": MIB, "mib": MIB, "g": GIB, "gib": GIB}

Parse = Callable[[str], Any]


class _NotAllowedError(ValueError):
    """Carries what would have been allowed."""


def whole(low: int, high: int) -> Parse:
    """A parser of whole numbers from `low` to `high`."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,20}", text) or not low <= int(text) <= high:
            raise _NotAllowedError(f"a whole number from {low} to {high}")
        return int(text)

    return parse


def auto_or(parse_number: Parse) -> Parse:
    """`auto` (stored as 0: the program chooses) or what `parse_number` takes."""

    def parse(text: str) -> int:
        if text.lower() == "auto":
            return 0
        try:
            return int(parse_number(text))
        except _NotAllowedError as error:
            raise _NotAllowedError(f"auto or {error}") from None

    return parse


def size(low: int, high: int = 1 << 50) -> Parse:
    """A parser of byte counts, with or without KiB, MiB or GiB."""

    def parse(text: str) -> int:
        match = re.fullmatch(r"([0-9]{1,20})\s*([a-z]*)", text.strip().lower())
        if match is None or match[2] not in _SUFFIX:
            raise _NotAllowedError("bytes, as 67108864 or 64MiB")
        value = int(match[1]) * _SUFFIX[match[2]]
        if not low <= value <= high:
            raise _NotAllowedError(f"at least {low} and at most {high} bytes")
        return value

    return parse


def seconds(low: float, high: float) -> Parse:
    """A parser of seconds from `low` to `high`."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise _NotAllowedError(f"seconds from {low:g} to {high:g}")
        return value

    return parse


def one_of(*words: str) -> Parse:
    """A parser that takes just these words."""

    def parse(text: str) -> str:
        if text not in words:
            raise _NotAllowedError(" or ".join(words))
        return text

    return parse


def _text(text: str) -> str:
    if not text.strip():
        raise _NotAllowedError("not empty")
    return text


def _path(text: str) -> Path:
    if not text.strip() or "\0" in text:  # Path("") would be the current directory
        raise _NotAllowedError("not empty, and without NUL characters")
    return Path(text)


def _token(text: str) -> str:
    if not re.fullmatch(r"[\x21-\x7e]{8,}", text):
        raise _NotAllowedError("at least 8 printable characters without spaces")
    return text


def _networks(text: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    try:
        return tuple(ipaddress.ip_network(each.strip()) for each in text.split(",")) if text != "none" else ()
    except ValueError:
        raise _NotAllowedError("none, or addresses and networks, as 127.0.0.1,10.0.0.0/8") from None


def _days(text: str) -> float:
    try:
        return float(seconds(0, 36_500)(text))
    except _NotAllowedError:
        raise _NotAllowedError("days from 0 to 36500") from None


def _setting(default: Any, parse: Parse, help_text: str, *, shown: str | None = None) -> Any:
    return dataclasses.field(
        default=default, metadata={"parse": parse, "help": help_text, "shown": shown or str(default)}
    )


@dataclass(frozen=True)
class Settings:
    """All settings, checked. 0 for `workers` and `http_threads` means auto: the program chooses."""

    host: str = _setting("127.0.0.1", _text, "address to listen on")
    port: int = _setting(8000, whole(0, 65535), "port to listen on; 0 takes a free one")
    data_dir: Path = _setting(Path("imgpool-data"), _path, "directory of originals and records", shown="./imgpool-data")
    output_dir: Path | None = _setting(None, _path, "directory of the variants", shown="DATA/output")
    workers: int = _setting(0, auto_or(whole(1, 256)), "worker threads of the pool", shown="auto")
    queue_capacity: int = _setting(64, whole(1, 100_000), "places in the jobs channel")
    isolation: str = _setting(
        "process",
        one_of("process", "thread"),
        "where Pillow runs: in a child process of each worker, or in it",
    )
    http_threads: int = _setting(
        0, auto_or(whole(4, 4096)), "threads that answer HTTP", shown="auto (queue capacity + 32)"
    )
    max_upload_bytes: int = _setting(64 * MIB, size(1), "largest file, in bytes", shown="64MiB")
    max_request_bytes: int = _setting(
        4 * GIB, size(1), "largest request, all its files together, in bytes", shown="4GiB"
    )
    max_files: int = _setting(1000, whole(1, 100_000), "most files in one request")
    max_pixels: int = _setting(100_000_000, whole(1, 2_000_000_000), "largest image, width x height")
    recipe: str = _setting(
        "large=fit:1600x1600,thumb=fit:256x256",
        _text,
        "variants to make: NAME=KIND:SIZE[:FORMAT[:QUALITY]],...",
    )
    job_timeout_s: float = _setting(60.0, seconds(0.1, 86_400), "time limit for one image", shown="60")
    job_memory_bytes: int = _setting(
        2 * GIB, size(64 * MIB), "memory limit of one decoder child, in bytes", shown="2GiB"
    )
    max_attempts: int = _setting(2, whole(1, 100), "attempts before an image that takes the server down is failed")
    min_upload_bytes_per_s: int = _setting(
        1024,
        whole(0, 1 << 40),
        "slowest upload, on average after 10 s, or 2 s when others find no place; slower ends with 408; 0 turns it off",
    )
    read_timeout_s: float = _setting(
        10.0, seconds(0.1, 3600), "longest silence of a client in the middle of a request", shown="10"
    )
    max_uploads_per_client: int = _setting(
        0, whole(0, 100_000), "uploads that one client address may have open at once; more get 429; 0 sets no limit"
    )
    trusted_proxies: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = _setting(
        (),
        _networks,
        "addresses and networks of proxies in front, whose X-Forwarded-For, -Proto and -Host are believed",
        shown="none",
    )
    disk_floor_bytes: int = _setting(
        256 * MIB, size(0), "free space below which uploads are refused (507), in bytes", shown="256MiB"
    )
    retention_days: float = _setting(
        0.0, _days, "days after which finished images are deleted; 0 keeps them", shown="0"
    )
    drain_timeout_s: float = _setting(
        25.0, seconds(0, 86_400), "time to finish accepted images when stopping", shown="25"
    )
    token: str | None = _setting(None, _token, "secret that API and pages ask for", shown="none")

    @property
    def output(self) -> Path:
        """The output directory: `output_dir`, or `output` in the data directory."""
        return self.output_dir or self.data_dir / "output"


FIELDS: tuple[dataclasses.Field[Any], ...] = dataclasses.fields(Settings)


def option(name: str) -> str:
    """`drain_timeout_s` -> `--drain-timeout-s`."""
    return "--" + name.replace("_", "-")


def variable(name: str) -> str:
    """`drain_timeout_s` -> `IMGPOOL_DRAIN_TIMEOUT_S`."""
    return "IMGPOOL_" + name.upper()


def load(options: Mapping[str, str | None] | None = None, env: Mapping[str, str] | None = None) -> Settings:
    """The settings from options, environment and file. Blocks only to read the TOML file.

    `options` maps setting names (and `config`, the file) to texts; None means not given.
    Raises `SettingError` for an unknown name or a value that is not allowed.
    """
    given = {name: text for name, text in (options or {}).items() if text is not None}
    env = os.environ if env is None else env
    config_file = given.pop("config", None) or env.get(variable("config"))
    if unknown := given.keys() - {field.name for field in FIELDS}:
        raise SettingError(
            f"{option(min(unknown))}: not a setting; allowed: {', '.join(field.name for field in FIELDS)}"
        )
    values: dict[str, Any] = {}
    file_values = _read_file(config_file) if config_file else {}
    for field in FIELDS:
        name = field.name
        if name in given:
            values[name] = _parse(field, given[name], option(name))
        elif variable(name) in env:
            values[name] = _parse(field, env[variable(name)], variable(name))
        elif name in file_values:
            values[name] = _parse(field, file_values[name], f"{name} in {config_file}")
    return Settings(**values)


def _parse(field: dataclasses.Field[Any], text: str, source: str) -> Any:
    try:
        return field.metadata["parse"](text)
    except _NotAllowedError as error:
        shown = "(not shown)" if field.name == "token" else repr(text)
        raise SettingError(f"{source}: {shown} is not allowed; allowed: {error}") from None


def _read_file(path: str) -> dict[str, str]:
    try:
        table = tomllib.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise SettingError(f"--config: {path!r} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(f"--config: {path!r} is not TOML: {error}") from None
    names = {field.name for field in FIELDS}
    for key, value in table.items():
        if key not in names:
            raise SettingError(f"{path}: {key!r} is not a setting; allowed: {', '.join(sorted(names))}")
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            shown = "(not shown)" if key == "token" else repr(value)
            raise SettingError(f"{path}: {key} = {shown} is not allowed; allowed: text or a number")
    return {key: str(value) for key, value in table.items()}

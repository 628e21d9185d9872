"""Every setting once: its name, unit, default, check and help.

Order of precedence: command line over environment (`IMGPOOL_<NAME>`) over TOML file over default. A
setting that cannot be used raises `SettingError` with one line that names it, its value and what is
allowed. This module reads no clock, starts nothing and writes nothing.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imgpool.errors import SettingError
from imgpool.values import (
    GIB,
    KIB,
    MIB,
    NotAllowedError,
    Parse,
    auto_or,
    days,
    host_names,
    networks,
    one_of,
    path,
    seconds,
    secret,
    size,
    text,
    url,
    whole,
    yes_or_no,
)

__all__ = ["FIELDS", "GIB", "KIB", "MIB", "Settings", "http_threads_for", "load", "option", "variable"]

SPARE_HTTP_THREADS = 32
MOST_RECEIVING = 512
"""Uploads that are received at one time, at most, when http_threads is auto: each takes a thread. The rest of a larger
queue is for what was received."""


def http_threads_for(places: int) -> int:
    """What http_threads is with `auto`: one for each upload that can be admitted, and some for pages and refusals."""
    return min(places, MOST_RECEIVING) + SPARE_HTTP_THREADS


def _setting(default: Any, parse: Parse, help_text: str, *, shown: str | None = None) -> Any:
    return dataclasses.field(
        default=default, metadata={"parse": parse, "help": help_text, "shown": shown or str(default)}
    )


@dataclass(frozen=True)
class Settings:
    """All settings, checked. 0 means auto, where `auto_or` parses it: the program chooses."""

    host: str = _setting("127.0.0.1", text, "address to listen on")
    port: int = _setting(8000, whole(0, 65535), "port to listen on; 0 takes a free one")
    data_dir: Path = _setting(Path("imgpool-data"), path, "directory of originals and records", shown="./imgpool-data")
    output_dir: Path | None = _setting(None, path, "directory of the variants", shown="DATA/output")
    workers: int = _setting(0, auto_or(whole(1, 256)), "worker threads of the pool", shown="auto")
    queue_capacity: int = _setting(64, whole(1, 100_000), "places in the jobs channel")
    isolation: str = _setting(
        "process",
        one_of("process", "thread"),
        "where Pillow runs: in a child process of each worker, or in it",
    )
    http_threads: int = _setting(
        0, auto_or(whole(4, 4096)), "threads that answer HTTP", shown="auto (queue capacity + 32, at most 544)"
    )
    max_upload_bytes: int = _setting(64 * MIB, size(1), "largest file, in bytes", shown="64MiB")
    max_request_bytes: int = _setting(
        4 * GIB, size(1), "largest request, all its files together, in bytes", shown="4GiB"
    )
    max_files: int = _setting(1000, whole(1, 100_000), "most files in one request")
    max_pixels: int = _setting(100_000_000, whole(1, 2_000_000_000), "largest image, width x height")
    recipe: str = _setting(
        "large=fit:1600x1600,thumb=fit:256x256",
        text,
        "variants to make: NAME=KIND:SIZE[:FORMAT[:QUALITY]],...",
    )
    job_timeout_s: float = _setting(60.0, seconds(0.1, 86_400), "time limit for one image", shown="60")
    job_memory_bytes: int = _setting(
        2 * GIB, size(64 * MIB), "memory limit of one decoder child, in bytes", shown="2GiB"
    )
    decode_memory_bytes: int = _setting(
        0,
        auto_or(size(64 * MIB)),
        "memory budget of all decoder children together, in bytes; images that do not fit wait in the queue",
        shown="auto (half of the memory)",
    )
    max_attempts: int = _setting(
        2, whole(1, 100), "attempts before an image that takes the server, or its decoder, down with it is failed"
    )
    min_upload_bytes_per_s: int = _setting(
        1024,
        whole(0, 1 << 40),
        "slowest upload, on average after 10 s, or 2 s when others find no place; slower ends with 408; 0 turns it off",
    )
    read_timeout_s: float = _setting(
        10.0,
        seconds(0.1, 3600),
        "longest silence of a client in the middle of a request, and for which it may leave an answer unread",
        shown="10",
    )
    max_uploads_per_client: int = _setting(
        0, whole(0, 100_000), "uploads that one client address may have open at once; more get 429; 0 sets no limit"
    )
    trusted_proxies: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = _setting(
        (),
        networks,
        "addresses and networks of proxies in front, whose X-Forwarded-For, -Proto and -Host are believed",
        shown="none",
    )
    disk_floor_bytes: int = _setting(
        256 * MIB, size(0), "free space below which uploads are refused (507), in bytes", shown="256MiB"
    )
    unfinished_slot_s: float = _setting(
        10.0, seconds(0.1, 3600), "time for which a resumable upload that stands still keeps its slot", shown="10"
    )
    unfinished_expire_s: float = _setting(
        86_400.0, seconds(1, 31_536_000), "time after which a resumable upload that stands still is gone", shown="86400"
    )
    max_unfinished_uploads: int = _setting(1000, whole(1, 1_000_000), "most resumable uploads that are unfinished")
    max_unfinished_bytes: int = _setting(
        4 * GIB, size(1), "most bytes that those may have together, as announced", shown="4GiB"
    )
    retention_days: float = _setting(0.0, days, "days after which finished images are deleted; 0 keeps them", shown="0")
    drain_timeout_s: float = _setting(
        25.0, seconds(0, 86_400), "time to finish accepted images when stopping", shown="25"
    )
    token: str | None = _setting(
        None, secret, "secret that API, pages and metrics ask for; none: everybody may do everything", shown="none"
    )
    upload_token: str | None = _setting(
        None, secret, "second secret, that opens uploading and what was uploaded with it", shown="none"
    )
    anonymous_uploads: bool = _setting(
        False, yes_or_no, "whether people without a token may upload, and see what they uploaded", shown="no"
    )
    open_to_everybody: bool = _setting(
        False, yes_or_no, "listen beyond this machine without a token: whoever comes may see and delete all", shown="no"
    )
    allowed_hosts: tuple[str, ...] | None = _setting(
        None,
        host_names,
        "names, as `a.example,.b.example`, that this server has beside addresses, localhost and the host; `*`: any",
        shown="none",
    )

    broker: str | None = _setting(
        None,
        url("redis", "rediss", "amqp", "amqps", example="redis://HOST:6379/0 or amqp://USER:PASSWORD@HOST//"),
        "Celery's broker, over which workers on any host get image IDs; goes with `database` and `files`",
        shown="none: one machine",
    )
    database: str | None = _setting(
        None,
        url("postgresql", "postgres", example="postgresql://USER:PASSWORD@HOST/DATABASE"),
        "PostgreSQL that keeps the records and the bound of all hosts",
        shown="none",
    )
    files: str | None = _setting(
        None,
        url("s3", "file", example="s3://BUCKET/PREFIX, or file:///PATH of a directory that all hosts share"),
        "where all hosts keep originals and variants",
        shown="none",
    )
    s3_endpoint: str | None = _setting(
        None,
        url("http", "https", example="https://HOST:PORT"),
        "S3 server other than Amazon's; credentials come the usual AWS ways",
        shown="none",
    )
    variant_delivery: str = _setting(
        "app",
        one_of("app", "redirect"),
        "whether variants on S3 come through the app, or by a redirect to a signed URL",
    )
    lease_s: float = _setting(
        15.0,
        seconds(2, 3600),
        "time after which what a silent host or worker had in hand goes to others; with `broker`",
        shown="15",
    )

    def __post_init__(self) -> None:
        """Settings that are fine by themselves and not together."""
        three = ("broker", "database", "files")
        given = [name for name in three if getattr(self, name)]
        if given and len(given) < len(three):
            missing = " and ".join(option(name) for name in three if name not in given)
            raise SettingError(
                f"{option(given[0])}: not allowed without {missing}: more than one machine needs all three"
            )
        if self.variant_delivery == "redirect" and not (self.files or "").startswith("s3:"):
            raise SettingError(
                "--variant-delivery: 'redirect' is not allowed without --files s3://...; allowed: app, which can read "
                "files from anywhere"
            )
        if self.token is None:
            for name in ("upload_token", "anonymous_uploads"):
                if getattr(self, name):
                    raise SettingError(
                        f"{option(name)}: not allowed without --token: without one, everybody may do everything"
                    )
        elif self.token == self.upload_token:
            raise SettingError("--upload-token: not allowed to be the same as --token; allowed: another secret")

    @property
    def scaled_out(self) -> bool:
        """Whether this is one host of several."""
        return self.broker is not None

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


def is_secret(name: str) -> bool:
    """Whether a setting's value is never shown: a token, or a URL that may carry a password."""
    return name.endswith("token") or name in ("broker", "database")


def load(options: Mapping[str, str | None] | None = None, env: Mapping[str, str] | None = None) -> Settings:
    """The settings from options, environment and file. Blocks only to read the TOML file.

    `options` maps setting names (and `config`, the file) to texts; None means not given.
    Raises `SettingError` for an unknown name or a value that is not allowed.
    """
    given = {name: value for name, value in (options or {}).items() if value is not None}
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


def _parse(field: dataclasses.Field[Any], given: str, source: str) -> Any:
    try:
        return field.metadata["parse"](given)
    except NotAllowedError as error:
        shown = "(not shown)" if is_secret(field.name) else repr(given)
        raise SettingError(f"{source}: {shown} is not allowed; allowed: {error}") from None


def _read_file(file: str) -> dict[str, str]:
    try:
        table = tomllib.loads(Path(file).read_text("utf-8"))
    except OSError as error:
        raise SettingError(f"--config: {file!r} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(f"--config: {file!r} is not TOML: {error}") from None
    fields = {field.name: field for field in FIELDS}
    for key, value in table.items():
        if key not in fields:
            raise SettingError(f"{file}: {key!r} is not a setting; allowed: {', '.join(sorted(fields))}")
        switch = isinstance(fields[key].default, bool)
        if not isinstance(value, (str, bool) if switch else (str, int, float)) or (
            isinstance(value, bool) and not switch
        ):
            shown = "(not shown)" if is_secret(key) else repr(value)
            allowed = "true or false" if switch else "text or a number"
            raise SettingError(f"{file}: {key} = {shown} is not allowed; allowed: {allowed}")
    return {key: str(value) for key, value in table.items()}

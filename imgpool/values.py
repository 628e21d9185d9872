"""Parsers of what a person writes for a setting. Each takes the text and returns the value, or raises
`NotAllowedError` with what would have been allowed. Nothing here reads, starts or writes anything.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

KIB, MIB, GIB = 1024, 1024**2, 1024**3
_SUFFIX = {"": 1, "k": KIB, "kib": KIB, "m": MIB, "mib": MIB, "g": GIB, "gib": GIB}

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Parse = Callable[[str], Any]


class NotAllowedError(ValueError):
    """Carries what would have been allowed."""


def whole(low: int, high: int) -> Parse:
    """A parser of whole numbers from `low` to `high`."""

    def parse(given: str) -> int:
        if not re.fullmatch(r"[0-9]{1,20}", given) or not low <= int(given) <= high:
            raise NotAllowedError(f"a whole number from {low} to {high}")
        return int(given)

    return parse


def auto_or(parse_number: Parse) -> Parse:
    """`auto` (stored as 0: the program chooses) or what `parse_number` takes."""

    def parse(given: str) -> int:
        if given.lower() == "auto":
            return 0
        try:
            return int(parse_number(given))
        except NotAllowedError as error:
            raise NotAllowedError(f"auto or {error}") from None

    return parse


def size(low: int, high: int = 1 << 50) -> Parse:
    """A parser of byte counts, with or without KiB, MiB or GiB."""

    def parse(given: str) -> int:
        match = re.fullmatch(r"([0-9]{1,20})\s*([a-z]*)", given.strip().lower())
        if match is None or match[2] not in _SUFFIX:
            raise NotAllowedError("bytes, as 67108864 or 64MiB")
        value = int(match[1]) * _SUFFIX[match[2]]
        if not low <= value <= high:
            raise NotAllowedError(f"at least {low} and at most {high} bytes")
        return value

    return parse


def seconds(low: float, high: float) -> Parse:
    """A parser of seconds from `low` to `high`."""

    def parse(given: str) -> float:
        try:
            value = float(given)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise NotAllowedError(f"seconds from {low:g} to {high:g}")
        return value

    return parse


def one_of(*words: str) -> Parse:
    """A parser that takes just these words."""

    def parse(given: str) -> str:
        if given not in words:
            raise NotAllowedError(" or ".join(words))
        return given

    return parse


def text(given: str) -> str:
    """Any text but an empty one."""
    if not given.strip():
        raise NotAllowedError("not empty")
    return given


def path(given: str) -> Path:
    """A path, of something that need not be there yet."""
    if not given.strip() or "\0" in given:  # Path("") would be the current directory
        raise NotAllowedError("not empty, and without NUL characters")
    return Path(given)


def secret(given: str) -> str:
    """A token as it can stand in a header."""
    if not re.fullmatch(r"[\x21-\x7e]{8,}", given):
        raise NotAllowedError("at least 8 printable characters without spaces")
    return given


def url(*schemes: str, example: str) -> Parse:
    """A parser of URLs with one of these schemes, which may carry a password. What it refuses, it does not repeat."""

    def parse(given: str) -> str:
        try:
            parts = urlsplit(given)
            usable = parts.scheme in schemes and bool(parts.netloc or parts.path.strip("/")) and parts.port != 0
        except ValueError:
            usable = False
        if not usable or not re.fullmatch(r"[\x21-\x7e]+", given):
            raise NotAllowedError(f"a URL as {example}")
        return given

    return parse


def days(given: str) -> float:
    """Days, whole or not."""
    try:
        return float(seconds(0, 36_500)(given))
    except NotAllowedError:
        raise NotAllowedError("days from 0 to 36500") from None


def networks(given: str) -> tuple[Network, ...]:
    """Addresses and networks; `none` for none of them."""
    try:
        return tuple(ipaddress.ip_network(each.strip()) for each in given.split(",")) if given != "none" else ()
    except ValueError:
        raise NotAllowedError("none, or addresses and networks, as 127.0.0.1,10.0.0.0/8") from None


def yes_or_no(given: str) -> bool:
    """A switch; `true` and `false` are what a TOML file says."""
    try:
        return {"yes": True, "true": True, "no": False, "false": False}[given.lower()]
    except KeyError:
        raise NotAllowedError("yes or no") from None


def host_names(given: str) -> tuple[str, ...]:
    """Names for the Host header, in lower case; `.example.com` stands for all names below it too, `*` for any."""
    names = tuple(name.strip().lower() for name in given.split(","))
    label = r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?"
    if not all(name == "*" or re.fullmatch(rf"\.?{label}(\.{label})*", name) for name in names):
        raise NotAllowedError(
            "names without scheme and port, separated by commas, as a.example, or .example for all below it"
        )
    return names

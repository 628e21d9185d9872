"""Whom a listening address lets in: this machine alone, or anybody who can reach it.

Used before the server listens (`imgpool serve`, `flask run`) and again on the sockets that it has.
"""

from __future__ import annotations

import ipaddress
import socket

from imgpool.config import Settings
from imgpool.errors import SettingError


def check_reach(settings: Settings, host: str) -> None:
    """Raise `SettingError` when strangers could come in without a token and nobody said that they may.

    `host` is an address or a name. Blocks on the resolver for a name.
    """
    if settings.token is not None or settings.open_to_everybody or _this_machine_alone(host):
        return
    raise SettingError(
        f"--host: {host!r} is not allowed without --token, since whoever reaches it could see and delete every image; "
        "allowed: 127.0.0.1 or another address of this machine alone, a --token, or --open-to-everybody"
    )


def _this_machine_alone(host: str) -> bool:
    if not host:  # every address, to those who bind sockets
        return False
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return True  # nobody can come in by an address that is none; listening on it says so better
    return all(_is_loopback(str(address[0])) for *_, address in found)


def _is_loopback(address: str) -> bool:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(parsed, "ipv4_mapped", None)
    return bool((mapped or parsed).is_loopback)

"""Ports for servers that have to be told one, and for those that end and start again at the same one."""

from __future__ import annotations

import os
import random
import socket
from pathlib import Path

FIRST = 10_000
_given: set[int] = set()


def free_port() -> int:
    """A port that stays free until it is used, however long a server takes to start.

    Not one that the system chooses: it would choose the same one again, for a connection or for another test's server.
    Those of the system begin at a number that can be read; these lie below it, and each process of pytest-xdist has
    its own share of them.
    """
    share = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    shares = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    ours = [port for port in range(FIRST, max(_systems(), FIRST + 1000)) if port % shares == share]
    for port in random.SystemRandom().sample(ours, len(ours)):
        if port not in _given and _is_free(port):
            _given.add(port)
            return port
    raise AssertionError("no port is free")


def _systems() -> int:
    """The first port of those that the system chooses from."""
    told = Path("/proc/sys/net/ipv4/ip_local_port_range")
    return int(told.read_text().split()[0]) if told.exists() else 32768


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
        return True

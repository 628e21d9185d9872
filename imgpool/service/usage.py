"""What the service uses: memory and CPU time of this process and its decoder children, where most of both goes.

Read from /proc, so Linux only; elsewhere nothing is known. Costs some tens of microseconds for each process.
"""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Usage:
    """`memory_bytes` is resident memory now; pages that processes share count in each. `cpu_s` is user and system time
    since the start, of children that have ended, too.
    """

    memory_bytes: int
    cpu_s: float


def usage(proc: Path = Path("/proc")) -> Usage | None:
    """Of this process and its living children; None where /proc does not tell. Any thread may call it."""
    try:
        memory = _resident_bytes(proc / "self")
        children = _children(proc / "self")
    except (OSError, ValueError, IndexError):
        return None
    times = os.times()
    cpu_s = times.user + times.system + times.children_user + times.children_system
    for child in children:
        try:
            cpu_s += _cpu_s(proc / child)
            memory += _resident_bytes(proc / child)
        except (OSError, ValueError, IndexError):
            continue  # it ended in between
    return Usage(memory, cpu_s)


def _children(process: Path) -> list[str]:
    """Process ids: a child belongs to the thread that started it."""
    found: list[str] = []
    for thread in (process / "task").iterdir():
        try:
            found += (thread / "children").read_text().split()
        except FileNotFoundError:
            continue  # the thread ended in between
    return found


def _resident_bytes(process: Path) -> int:
    return int((process / "statm").read_text().split()[1]) * resource.getpagesize()


def _cpu_s(process: Path) -> float:
    # After the name in brackets, which may hold anything: state is the first field, utime the 12th, stime the 13th.
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

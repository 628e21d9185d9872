"""How many workers this process can feed: from the CPUs and the memory that *it* may use.

Not from the machine's: in a container `os.cpu_count()` tells of the host. Reads /proc and /sys; changes nothing.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

MEMORY_PER_WORKER = 400 * 1024**2
"""Bytes that one worker needs at its worst in ordinary use: a 48 MP original decoded whole as RGBA (190 MB), its
resized copies, and the interpreter of its child."""


@dataclass(frozen=True)
class WorkerChoice:
    """A number of workers, and why."""

    workers: int
    reason: str


def choose_workers(root: Path = Path("/")) -> WorkerChoice:
    """As many workers as CPUs (decoding is CPU-bound: more would only wait for each other), or as fit in half of
    the memory when that is fewer; at least one. `root` is where /proc and /sys are found.
    """
    cpus, cpu_reason = usable_cpus(root)
    memory = usable_memory(root)
    if memory is None:
        return WorkerChoice(cpus, cpu_reason)
    fit = max(1, memory // 2 // MEMORY_PER_WORKER)
    amount = f"{memory / 1024**3:.1f} GiB of memory"
    if fit < cpus:
        return WorkerChoice(fit, f"half of {amount} holds {fit} at 400 MiB each; {cpu_reason} would allow {cpus}")
    return WorkerChoice(cpus, f"{cpu_reason}; {amount} would hold {fit}")


def usable_cpus(root: Path = Path("/")) -> tuple[int, str]:
    """CPUs this process may use: its affinity, cut to its cgroup's quota. With the reason in words."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cgroup_cpus(root)
    if quota is not None and quota < affinity:
        cpus = max(1, int(quota))
        return cpus, f"a CPU quota of {quota:g}"
    return affinity, f"{affinity} usable CPU{'s' * (affinity != 1)}"


def usable_memory(root: Path = Path("/")) -> int | None:
    """Bytes of memory this process may use: its cgroup's limit or the machine's, the smaller. None: unknown."""
    found = [limit for limit in (_cgroup_memory(root), _machine_memory(root)) if limit is not None]
    return min(found) if found else None


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None


def _cgroup_directories(root: Path) -> list[Path]:
    """This process's cgroup (v2) and its parents: any of them may carry the limit."""
    text = _read(root / "proc/self/cgroup") or ""
    own = next((line[3:] for line in text.splitlines() if line.startswith("0::")), "/")
    base = root / "sys/fs/cgroup"
    inside = base / own.lstrip("/")
    return [inside, *(parent for parent in inside.parents if parent == base or base in parent.parents)]


def _cgroup_cpus(root: Path) -> float | None:
    quotas = []
    for directory in _cgroup_directories(root):
        match (_read(directory / "cpu.max") or "").split():
            case [quota, period] if quota != "max":
                quotas.append(int(quota) / int(period))
    quota_v1 = _read(root / "sys/fs/cgroup/cpu/cpu.cfs_quota_us")
    period_v1 = _read(root / "sys/fs/cgroup/cpu/cpu.cfs_period_us")
    if quota_v1 and period_v1 and int(quota_v1) > 0:
        quotas.append(int(quota_v1) / int(period_v1))
    return min(quotas) if quotas else None


def _cgroup_memory(root: Path) -> int | None:
    limits = [_read(directory / "memory.max") for directory in _cgroup_directories(root)]
    limits.append(_read(root / "sys/fs/cgroup/memory/memory.limit_in_bytes"))
    numbers = [int(limit) for limit in limits if limit and limit.isdigit()]
    return min(numbers) if numbers else None


def _machine_memory(root: Path) -> int | None:
    for line in (_read(root / "proc/meminfo") or "").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return None

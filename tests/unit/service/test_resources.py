"""How many workers, read from trees that look like /proc and /sys."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from imgpool.service.resources import MEMORY_PER_WORKER, choose_workers, usable_cpus, usable_memory

CPUS = 8
GIB = 1024**3


@pytest.fixture(autouse=True)
def _eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(CPUS)))


def tree(root: Path, **files: str) -> Path:
    """Keys are paths with `/` written as `__` and `.` as `_dot_`."""
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def meminfo(gib: float) -> str:
    return f"MemTotal:       {int(gib * GIB / 1024)} kB\nMemFree:         1 kB\n"


def test_without_any_limit_the_affinity_decides(tmp_path: Path) -> None:
    assert usable_cpus(tmp_path) == (8, "8 usable CPUs")
    assert usable_memory(tmp_path) is None
    choice = choose_workers(tmp_path)
    assert (choice.workers, choice.reason) == (8, "8 usable CPUs")


def test_one_cpu_is_said_in_the_singular(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3})
    assert usable_cpus(tmp_path) == (1, "1 usable CPU")


def test_where_there_is_no_affinity_the_machine_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert usable_cpus(tmp_path)[0] == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cpus(tmp_path)[0] == 1


def test_a_v2_quota_of_a_parent_counts(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        proc__self__cgroup="0::/pod/box\n",
        sys__fs__cgroup__pod__box__cpu_dot_max="max 100000\n",
        sys__fs__cgroup__pod__cpu_dot_max="300000 100000\n",
    )
    assert usable_cpus(root) == (3, "a CPU quota of 3")


def test_the_smallest_v2_quota_counts(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        proc__self__cgroup="0::/pod/box\n",
        sys__fs__cgroup__pod__box__cpu_dot_max="200000 100000\n",
        sys__fs__cgroup__pod__cpu_dot_max="300000 100000\n",
        sys__fs__cgroup__cpu_dot_max="250000 100000\n",
    )
    assert usable_cpus(root) == (2, "a CPU quota of 2")


def test_in_a_container_the_cgroup_is_the_root(tmp_path: Path) -> None:
    root = tree(tmp_path, proc__self__cgroup="0::/\n", sys__fs__cgroup__cpu_dot_max="150000 100000\n")
    assert usable_cpus(root) == (1, "a CPU quota of 1.5")


def test_half_a_cpu_gives_one_worker(tmp_path: Path) -> None:
    root = tree(tmp_path, sys__fs__cgroup__cpu_dot_max="50000 100000\n", proc__meminfo=meminfo(16))
    choice = choose_workers(root)
    assert choice.workers == 1
    assert "a CPU quota of 0.5" in choice.reason


def test_a_quota_above_the_affinity_gives_nothing(tmp_path: Path) -> None:
    root = tree(tmp_path, sys__fs__cgroup__cpu_dot_max="1600000 100000\n")
    assert usable_cpus(root) == (8, "8 usable CPUs")


def test_a_v1_quota(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        proc__self__cgroup="4:cpu,cpuacct:/\n3:memory:/\n",
        sys__fs__cgroup__cpu__cpu_dot_cfs_quota_us="200000\n",
        sys__fs__cgroup__cpu__cpu_dot_cfs_period_us="100000\n",
    )
    assert usable_cpus(root) == (2, "a CPU quota of 2")


def test_no_v1_quota_is_minus_one(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        sys__fs__cgroup__cpu__cpu_dot_cfs_quota_us="-1\n",
        sys__fs__cgroup__cpu__cpu_dot_cfs_period_us="100000\n",
    )
    assert usable_cpus(root)[0] == 8


def test_memory_is_the_smallest_of_machine_and_cgroups(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        proc__meminfo=meminfo(16),
        proc__self__cgroup="0::/pod/box\n",
        sys__fs__cgroup__pod__box__memory_dot_max="max\n",
        sys__fs__cgroup__pod__memory_dot_max=f"{4 * GIB}\n",
    )
    assert usable_memory(root) == 4 * GIB
    tree(tmp_path, proc__meminfo=meminfo(2))
    assert usable_memory(root) == 2 * GIB


def test_v1_memory_and_its_way_to_say_unlimited(tmp_path: Path) -> None:
    root = tree(tmp_path, proc__meminfo=meminfo(16), sys__fs__cgroup__memory__memory_dot_limit_in_bytes=f"{GIB}\n")
    assert usable_memory(root) == GIB
    tree(tmp_path, sys__fs__cgroup__memory__memory_dot_limit_in_bytes="9223372036854771712\n")
    assert usable_memory(root) == 16 * GIB


def test_little_memory_gives_fewer_workers_and_says_so(tmp_path: Path) -> None:
    choice = choose_workers(tree(tmp_path, proc__meminfo=meminfo(2)))
    assert choice.workers == 2 == GIB // MEMORY_PER_WORKER
    assert choice.reason == "half of 2.0 GiB of memory holds 2 at 400 MiB each; 8 usable CPUs would allow 8"


def test_very_little_memory_still_gives_one(tmp_path: Path) -> None:
    assert choose_workers(tree(tmp_path, proc__meminfo=meminfo(0.25))).workers == 1


def test_enough_memory_is_mentioned(tmp_path: Path) -> None:
    choice = choose_workers(tree(tmp_path, proc__meminfo=meminfo(64)))
    assert (choice.workers, choice.reason) == (8, "8 usable CPUs; 64.0 GiB of memory would hold 81")


def test_this_machine_has_at_least_one() -> None:
    choice = choose_workers()
    assert choice.workers >= 1
    assert choice.reason

"""The same arrivals against imgpool and against two servers without a bound: `imgpool compare`.

Each server runs by itself, one load at a time, in processes of its own with the same memory limit; the load comes from
`imgpool load` in another process. What the machine can serve is measured first, with imgpool: that is 1x.
"""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imgpool.load.child_server import ChildServer, Seen
from imgpool.load.pictures import SAMPLES, read_pictures
from imgpool.load.target import LoadError

MEASURE_USERS, WARM_UP_S = 12, 1.0
PHOTOS = ("mountain-lake.jpg", "lighthouse-with-gps.jpg", "forest-orientation-6.jpg", "milky-way-orientation-8.jpg")
SERVERS = ("imgpool", "thread_per_upload", "unbounded_executor")
TITLES = {
    "imgpool": "imgpool",
    "thread_per_upload": "a thread per upload",
    "unbounded_executor": "an unbounded executor",
}
Say = Callable[[str], None]


@dataclass(frozen=True)
class Run:
    """One server under one load. `p99_s` is over all accepted images, of which those that never ended count as
    `limit_s`, the time for which they were followed; `memory` is (seconds from the load's beginning, bytes).
    """

    server: str
    factor: float
    rate: float
    due: int
    accepted: int
    refused: int
    unanswered: int
    done: int
    failed: int
    lost: int
    unfinished: int
    goodput_per_s: float
    p50_s: float | None
    p99_s: float | None
    limit_s: float
    peak_memory_bytes: int
    killed: bool
    client_bottleneck: bool
    memory: list[tuple[float, int]] = field(repr=False)


@dataclass(frozen=True)
class Comparison:
    """All runs, and under what conditions."""

    capacity_per_s: float
    memory_bytes: int
    hold_s: float
    images: list[str]
    cpus: int
    runs: list[Run]


def default_photos() -> list[Path]:
    """The four sample photos of 12 megapixels. Raises `LoadError` where there are none."""
    if not SAMPLES.is_dir():
        raise LoadError("this installation has no sample images: name your own with --images FILE or DIR")
    return [SAMPLES / name for name in PHOTOS]


def default_memory_bytes(cpus: int) -> int:
    """The limit for each server: what imgpool uses at most on so many CPUs, with some air."""
    return (256 + 128 * cpus) * 1024**2


def compare(
    images: list[Path],
    factors: list[float],
    *,
    hold_s: float,
    follow_s: float,
    memory_bytes: int,
    cpus: int,
    say: Say,
) -> Comparison:
    """Run everything; blocks for some minutes. Raises `LoadError`."""
    images = images or default_photos()
    pictures = read_pictures(images)
    with tempfile.TemporaryDirectory(prefix="imgpool-compare-") as directory:
        work = Path(directory)
        capacity = measure_capacity(images, work, memory_bytes, min(7.0, 2 + hold_s), say)
        mean_bytes = sum(len(each.body) for each in pictures) / len(pictures)
        needed = 2 * max(factors) * capacity * hold_s * mean_bytes
        if needed > shutil.disk_usage(work).free:
            raise LoadError(
                f"{directory} has no room for {needed / 1024**3:.1f} GiB of uploads: "
                "set TMPDIR to a larger disk, or give a smaller --factors or --hold-s"
            )
        runs = []
        for factor in factors:
            for server in SERVERS:
                run = measure(server, factor, factor * capacity, images, work, hold_s, follow_s, memory_bytes)
                say(run_line(run))
                runs.append(run)
    return Comparison(capacity, memory_bytes, hold_s, [each.name for each in pictures], cpus, runs)


def measure_capacity(images: list[Path], work: Path, memory_bytes: int, measure_s: float, say: Say) -> float:
    """Images a second that imgpool finishes here while its queue is never empty."""
    options = ["--users", str(MEASURE_USERS), "--hold-s", str(measure_s), "--client", "polite"]
    with _server("imgpool", work, memory_bytes) as server:
        result = _load(server.url, images, options)
    _tidy(work)
    timeline = result["timeline"]
    first, last = (round(at / timeline["bucket_s"]) for at in (WARM_UP_S, measure_s))
    done = timeline["per_s"]["done"][first:last]
    capacity = sum(done) / len(done) if done else 0.0
    if not capacity:
        raise LoadError("imgpool finished no image on this machine: run `imgpool serve` and see what its log says")
    say(f"this machine finishes {capacity:.1f} images/s: that is 1x")
    return capacity


def measure(
    name: str,
    factor: float,
    rate: float,
    images: list[Path],
    work: Path,
    hold_s: float,
    follow_s: float,
    memory_bytes: int,
) -> Run:
    """One server under arrivals of `rate` a second."""
    options = ["--rate", f"{rate:.3f}", "--hold-s", str(hold_s), "--client", "once", "--follow-s", str(follow_s)]
    with _server(name, work, memory_bytes) as server:
        before = server.look().at
        result = _load(server.url, images, options)
        ended_at = server.look().at
    _tidy(work)
    answers, ended = result["answers"], result["ended"]
    limit_s = hold_s + follow_s
    latency = result["latency_s"]["end_to_end"]
    never = ended["lost"] + ended["unfinished"]
    return Run(
        name,
        factor,
        rate,
        result["uploads"]["due"],
        answers["accepted"],
        answers["refused"],
        answers["reset"] + answers["unanswered"] + answers["unreachable"],
        ended["done"],
        ended["failed"],
        ended["lost"],
        ended["unfinished"],
        result["goodput_per_s"],
        _censored(0.5, latency["p50"], ended["done"], never, limit_s),
        _censored(0.99, latency["p99"], ended["done"], never, limit_s),
        limit_s,
        max((each.memory_bytes for each in server.seen), default=0),
        server.killed_at is not None,
        result["client"]["bottleneck"],
        _memory(server.seen, before, server.killed_at or ended_at),
    )


def _censored(share: float, of_done: float | None, done: int, never: int, limit_s: float) -> float | None:
    """A percentile of done and never done together, where one of those done says it, else the limit."""
    if not done + never:
        return None
    if of_done is None or never >= (1 - share) * (done + never):
        return limit_s
    return min(of_done, limit_s)


def _memory(seen: list[Seen], began: float, ended: float) -> list[tuple[float, int]]:
    """Ten points a second, from the load's beginning to its end, or the server's."""
    points: dict[int, tuple[float, int]] = {}
    for each in seen:
        if began <= each.at <= ended:
            points.setdefault(math.floor((each.at - began) * 10), (each.at - began, each.memory_bytes))
    return list(points.values())


def _server(name: str, work: Path, memory_bytes: int) -> ChildServer:
    data = ["--port", "0", "--data-dir", str(work / "data")]
    if name == "imgpool":
        command = [sys.executable, "-m", "imgpool", "serve", *data]
    else:
        command = [sys.executable, "-m", f"imgpool.learn.doubles.{name}", *data, "--memory-bytes", str(memory_bytes)]
    return ChildServer(TITLES[name], command, work / "log", memory_bytes)


def _tidy(work: Path) -> None:
    shutil.rmtree(work / "data", ignore_errors=True)


def _load(url: str, images: list[Path], options: list[str]) -> Any:
    """`imgpool load` in a process of its own: gevent, and a core that the servers' watcher does not share."""
    paths = [word for path in images for word in ("--images", str(path))]
    command = [sys.executable, "-m", "imgpool", "load", url, *options, *paths, "--json", "-"]
    done = subprocess.run(  # noqa: S603  # our own command
        command, capture_output=True, text=True, check=False, timeout=3600
    )
    try:
        return json.loads(done.stdout)
    except ValueError:
        raise LoadError(f"the load test of {url} failed: {done.stderr.strip()[-300:]}") from None


def run_line(run: Run) -> str:
    """One run in a line."""
    what = [
        f"{run.factor:g}x  {TITLES[run.server]:<22} {run.rate:6.1f} arrivals/s: goodput {run.goodput_per_s:5.1f}/s",
        f"refused {run.refused}",
        f"p99 to done {waited(run, run.p99_s)}",
        f"memory {run.peak_memory_bytes >> 20} MiB",
    ]
    if run.killed:
        what.append(f"KILLED at the memory limit, {run.lost} accepted images lost")
    if run.client_bottleneck:
        what.append("the client was the bottleneck")
    return " · ".join(what)


def waited(run: Run, time_s: float | None) -> str:
    """A time to done as people read it."""
    if time_s is None:
        return "-"
    if time_s >= run.limit_s:
        return "never (lost)" if run.lost else f"over {run.limit_s:g} s"
    return f"{time_s:.1f} s"

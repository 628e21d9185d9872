"""What this machine makes of each image, in one run: codecs alone, the bare pipeline, the whole service.

Only ratios from one run mean anything: they hold on a slow machine and a fast one. Every part runs in processes of its
own, one after the other, over the same files; the service's CPU is that of its processes, without this client's.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from imgpool.imaging.child_process import child_environment
from imgpool.imaging.recipe import DEFAULT_RECIPE
from imgpool.load.behaviour import RUDE
from imgpool.load.bench_report import Bench, Measured, line
from imgpool.load.child_server import ChildServer
from imgpool.load.compare import default_photos
from imgpool.load.pictures import Picture, read_pictures
from imgpool.load.target import LoadError, Target, find_target
from imgpool.load.upload import upload

CLIENTS = 4
LONGEST_S = 600.0
Say = Callable[[str], None]


def bench(paths: list[Path], images: int, say: Say) -> Bench:
    """Run everything, `images` images for each worker or thread; blocks for about a minute. Raises `LoadError`."""
    pictures = read_pictures(paths or default_photos())
    others_cpu = psutil.cpu_percent(0.5) / 100 * (os.cpu_count() or 1)
    with tempfile.TemporaryDirectory(prefix="imgpool-bench-") as directory:
        work = Path(directory)
        pictures, files = usable(pictures, work, say)
        first = _service(pictures, images, None, work, say)
        workers = first.workers
        codecs = _bare("codecs", files, images, 1, work, say)
        pipeline = _bare("pipeline", files, images, 1, work, say)
        threads = _bare("pipeline", files, images * workers, workers, work, say) if workers > 1 else pipeline
        one = _service(pictures, images, 1, work, say) if workers > 1 else first
    return Bench(
        codecs,
        pipeline,
        threads,
        one.measured,
        first.measured,
        workers,
        first.start_s,
        first.why,
        others_cpu,
        first.accept_p50_s,
    )


def usable(pictures: list[Picture], work: Path, say: Say) -> tuple[list[Picture], list[Path]]:
    """Those that this imgpool can process, and where they lie as files. Raises `LoadError` when there is none."""
    files = []
    with _serving(work, None, len(pictures)) as server:
        target = find_target(server.url, None, consent=False)
        sent = [(picture, upload(target, picture, RUDE)) for picture in pictures]
        _wait_until_settled(target, server)
        kept = []
        for picture, answer in sent:
            state = _get(target, f"/api/images/{answer.image_id}").get("state") if answer.image_id else answer.reason
            if state == "done":
                kept.append(picture)
                files.append(work / f"{len(kept)}")
                files[-1].write_bytes(picture.body)
            else:
                say(f"left out: {picture.name} ({state})")
    if not kept:
        raise LoadError("imgpool can process none of these files: name images")
    return kept, files


@dataclass(frozen=True)
class _Served:
    measured: Measured
    workers: int
    start_s: float
    why: str
    accept_p50_s: float


def _service(pictures: list[Picture], images: int, workers: int | None, work: Path, say: Say) -> _Served:
    """The whole service: `images` uploads for each worker, from the first byte on the socket to the last `done`."""
    began = time.monotonic()
    with _serving(work, workers, 10_000) as server:
        start_s = time.monotonic() - began
        target = find_target(server.url, None, consent=False)
        pool = _get(target, "/api/status")["pool"]
        images *= pool["workers"]
        todo = [pictures[number % len(pictures)] for number in range(images)]
        for picture in pictures:  # so that all is warm: connections, caches, decoders
            upload(target, picture, RUDE)
        _wait_until_settled(target, server)
        before, before_decoders, sent_at = server.look().cpu_s, server.children_cpu_s(), time.time()
        times: list[float] = []

        def send(picture: Picture) -> None:
            due = time.monotonic()
            answer = upload(target, picture, RUDE)
            if answer.kind != "accepted":
                raise LoadError(f"the server did not take {picture.name}: {answer.reason}")
            times.append(time.monotonic() - due)

        with ThreadPoolExecutor(CLIENTS, thread_name_prefix="imgpool-bench") as clients:
            list(clients.map(send, todo))
        _wait_until_settled(target, server)
        cpu_s, decoders_cpu_s = server.look().cpu_s - before, server.children_cpu_s() - before_decoders
        wall_s = _last_finished(target, images) - sent_at
    shutil.rmtree(work / "data")
    name = f"service, {_counted(pool['workers'], 'worker')}"
    measured = Measured(name, images, wall_s, cpu_s, decoders_cpu_s)
    say(line(measured))
    return _Served(measured, pool["workers"], start_s, pool["why"], statistics.median(times))


def _serving(work: Path, workers: int | None, queue_capacity: int) -> ChildServer:
    command = [sys.executable, "-m", "imgpool", "serve", "--port", "0", "--data-dir", str(work / "data")]
    command += ["--queue-capacity", str(queue_capacity), "--http-threads", "16"]
    return ChildServer("imgpool", [*command, *(["--workers", str(workers)] if workers else [])], work / "log")


def _bare(kind: str, files: list[Path], images: int, threads: int, work: Path, say: Say) -> Measured:
    """A bare loop, in a process that is set up like a decoder child."""
    asked = {
        "kind": kind,
        "files": [str(each) for each in files],
        "recipe": DEFAULT_RECIPE,
        "directory": str(work),
        "images": images,
        "threads": threads,
    }
    done = subprocess.run(  # our own module
        [sys.executable, "-P", "-m", "imgpool.imaging.bare"],
        input=json.dumps(asked) + "\n",
        capture_output=True,
        text=True,
        env=child_environment(),
        timeout=LONGEST_S,
        check=False,
    )
    if done.returncode:
        raise LoadError(f"the bare loop failed: {done.stderr.strip()[-300:]}")
    told = json.loads(done.stdout)
    name = "codecs alone" if kind == "codecs" else "bare pipeline"
    measured = Measured(f"{name}, {_counted(threads, 'thread')}", images, told["wall_s"], told["cpu_s"])
    say(line(measured))
    return measured


def _wait_until_settled(target: Target, server: ChildServer) -> None:
    """Asks seldom: asking costs the server time that is being measured."""
    limit = time.monotonic() + LONGEST_S
    while time.monotonic() < limit:
        counts = _get(target, "/api/status")["counts"]
        if counts["queued"] + counts["processing"] == 0:
            return
        time.sleep(0.2)
    raise LoadError(f"{server.name} did not finish its images within {LONGEST_S:g} s")


def _last_finished(target: Target, images: int) -> float:
    """When the last of the newest `images` images ended, by the server's clock, which is this machine's."""
    page = _get(target, f"/api/images?limit={min(images, 200)}")["images"]
    return max(datetime.fromisoformat(each["finished_at"]).timestamp() for each in page)


def _get(target: Target, path: str) -> Any:
    connection = target.connect()
    try:
        return json.loads(target.get(connection, path)[1])
    finally:
        connection.close()


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"

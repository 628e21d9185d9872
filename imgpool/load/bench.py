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
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from imgpool.imaging.child_process import child_environment
from imgpool.imaging.recipe import DEFAULT_RECIPE
from imgpool.load.behaviour import RUDE
from imgpool.load.child_server import ChildServer
from imgpool.load.compare import default_photos
from imgpool.load.pictures import Picture, read_pictures
from imgpool.load.target import LoadError, Target, find_target
from imgpool.load.upload import upload

CLIENTS = 4
LONGEST_S = 600.0
Say = Callable[[str], None]


@dataclass(frozen=True)
class Measured:
    """One part: wall and CPU seconds for so many images. `decoders_cpu_s` is the share of the service's children."""

    name: str
    images: int
    wall_s: float
    cpu_s: float
    decoders_cpu_s: float | None = None

    @property
    def per_s(self) -> float:
        """Images a second."""
        return self.images / self.wall_s

    @property
    def cpu_ms(self) -> float:
        """Milliseconds of CPU an image."""
        return 1000 * self.cpu_s / self.images


@dataclass(frozen=True)
class Bench:
    """All parts, the seconds to `serving on`, the status that the server told, and how busy the machine was before."""

    codecs: Measured
    pipeline: Measured
    pipeline_threads: Measured
    service: Measured
    service_workers: Measured
    workers: int
    start_s: float
    why: str
    others_cpu: float
    accept_p50_s: float

    @property
    def ratios(self) -> dict[str, float]:
        """What is compared, by a name that says it."""
        return {
            "pipeline_cpu_by_codecs_cpu": self.pipeline.cpu_ms / self.codecs.cpu_ms,
            "service_cpu_by_pipeline_cpu": self.service.cpu_ms / self.pipeline.cpu_ms,
            "service_workers_by_one_worker": self.service_workers.per_s / self.service.per_s,
            "service_goodput_by_pipeline_threads": self.service_workers.per_s / self.pipeline_threads.per_s,
        }


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


def line(measured: Measured) -> str:
    """One part as a line of the table."""
    split = ""
    if measured.decoders_cpu_s is not None:
        rest = 1000 * (measured.cpu_s - measured.decoders_cpu_s) / measured.images
        split = f"   of which receiving, storing, recording {rest:.1f} ms"
    return (
        f"{measured.name:<26}{measured.per_s:8.1f} images/s{1000 / measured.per_s:9.1f} ms wall"
        f"{measured.cpu_ms:9.1f} ms CPU{split}"
    )


def conclusions(bench: Bench) -> list[str]:
    """The ratios in words, and what to change on this machine."""
    ratios = bench.ratios
    lines = [
        f"the pipeline takes {ratios['pipeline_cpu_by_codecs_cpu']:.2f} times the CPU of the codecs alone",
        f"the service takes {ratios['service_cpu_by_pipeline_cpu']:.2f} times the CPU of the bare pipeline",
        f"the server serves {bench.start_s:.2f} s after its start; "
        f"a 202 takes {1000 * bench.accept_p50_s:.0f} ms in the median",
        f"workers: {bench.workers} ({bench.why})",
    ]
    if bench.workers > 1:
        lines[2:2] = [
            f"{bench.workers} workers finish {ratios['service_workers_by_one_worker']:.2f} times as many images as one",
            f"{bench.workers} workers finish {ratios['service_goodput_by_pipeline_threads']:.2f} times as many images "
            f"as the bare pipeline on {bench.workers} threads (this client is on the same CPUs)",
        ]
    return lines + [f"to change: {each}" for each in advice(bench)]


def advice(bench: Bench) -> list[str]:
    """What would make this machine faster, as far as the run shows it."""
    found = []
    if bench.others_cpu > 0.2:
        found.append(f"other programs used {bench.others_cpu:.1f} CPUs before the run: repeat it on a quiet machine")
    if bench.workers > 1 and bench.ratios["service_workers_by_one_worker"] < 0.7 * bench.workers:
        found.append(
            f"{bench.workers} workers are little faster than one: the CPUs are busy with something else, or share cores"
        )
    if bench.accept_p50_s > 0.1:
        found.append("the disk of the data directory is slow to sync; uploads wait for it")
    if bench.ratios["service_cpu_by_pipeline_cpu"] > 1.5:
        found.append("for images this small, receiving costs as much as processing: send several in one request")
    return found


def to_json(bench: Bench) -> str:
    """Everything as JSON, the ratios with it."""
    return json.dumps({**asdict(bench), "ratios": bench.ratios, "advice": advice(bench)}, indent=1)

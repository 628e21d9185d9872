"""What this machine makes of each image, in one run: codecs alone, the bare pipeline, the whole service.

Only ratios from one run mean anything: they hold on a slow machine and a fast one. Every part runs in processes of its
own, one after the other, over the same files; the service's CPU is that of its processes, without this client's.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
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

from imgpool.load import bare_loops
from imgpool.load.behaviour import RUDE
from imgpool.load.bench_report import Bench, Measured, counted, line
from imgpool.load.child_server import ChildServer
from imgpool.load.pictures import Picture, read_pictures
from imgpool.load.target import LoadError, Target, find_target
from imgpool.load.upload import upload

CLIENTS = 4
LONGEST_S = 600.0
Say = Callable[[str], None]


def bench(paths: list[Path], images: int, say: Say) -> Bench:
    """Run everything, `images` images for each worker or thread; blocks for about a minute. Raises `LoadError`."""
    others_cpu = psutil.cpu_percent(0.5) / 100 * (os.cpu_count() or 1)
    with tempfile.TemporaryDirectory(prefix="imgpool-bench-") as directory:
        work = Path(directory)
        pictures = read_pictures(paths or bare_loops.camera_photos(work))
        pictures, files = usable(pictures, work, say)

        def bare(kind: str, images: int = images, **beside: int) -> Measured:
            measured = bare_loops.run(kind, files, images, work, **beside)
            say(line(measured))
            return measured

        many = _service(pictures, images, None, work, say)
        workers = many.workers
        one = _service(pictures, images, 1, work, say) if workers > 1 else many
        codecs = bare("codecs")
        pipeline = bare("pipeline")
        threads = bare("pipeline", images * workers, threads=workers) if workers > 1 else pipeline
        processes = bare("pipeline", processes=workers) if workers > 1 else pipeline
    return Bench(
        codecs,
        pipeline,
        threads,
        processes,
        one.measured,
        many.measured,
        one.full_queue,
        many.full_queue,
        workers,
        many.start_s,
        many.why,
        others_cpu,
        many.accept_p50_s,
        many.client_cpu_s,
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
    full_queue: Measured
    workers: int
    start_s: float
    why: str
    accept_p50_s: float
    client_cpu_s: float


def _service(pictures: list[Picture], images: int, workers: int | None, work: Path, say: Say) -> _Served:
    """The whole service: `images` uploads for each worker, from the first byte on the socket to the last `done`; then
    as many again out of a full queue, while no client takes part of the CPUs.
    """
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
        workers_are = counted(pool["workers"], "worker")

        def measured(name: str, began_at: float, before: tuple[float, float]) -> Measured:
            _wait_until_settled(target, server)
            cpu_s, decoders_cpu_s = server.look().cpu_s - before[0], server.children_cpu_s() - before[1]
            told = Measured(name, images, _last_finished(target, images) - began_at, cpu_s, decoders_cpu_s)
            say(line(told))
            return told

        before, sent_at, client_s = (server.look().cpu_s, server.children_cpu_s()), time.time(), time.process_time()
        times = _send(target, todo)
        client_s = time.process_time() - client_s
        whole = measured(f"service, {workers_are}", sent_at, before)

        _patch(target, "/api/pool", {"paused": True})
        _send(target, todo)
        before, sent_at = (server.look().cpu_s, server.children_cpu_s()), time.time()
        _patch(target, "/api/pool", {"paused": False})
        full_queue = measured(f"full queue, {workers_are}", sent_at, before)
    shutil.rmtree(work / "data")
    return _Served(whole, full_queue, pool["workers"], start_s, pool["why"], statistics.median(times), client_s)


def _send(target: Target, pictures: list[Picture]) -> list[float]:
    """Upload all of them; returns the seconds that each took to its 202."""
    times: list[float] = []

    def send(picture: Picture) -> None:
        due = time.monotonic()
        answer = upload(target, picture, RUDE)
        if answer.kind != "accepted":
            raise LoadError(f"the server did not take {picture.name}: {answer.reason}")
        times.append(time.monotonic() - due)

    with ThreadPoolExecutor(CLIENTS, thread_name_prefix="imgpool-bench") as clients:
        list(clients.map(send, pictures))
    return times


def _serving(work: Path, workers: int | None, queue_capacity: int) -> ChildServer:
    command = [sys.executable, "-m", "imgpool", "serve", "--port", "0", "--data-dir", str(work / "data")]
    command += ["--queue-capacity", str(queue_capacity), "--http-threads", "16"]
    return ChildServer("imgpool", [*command, *(["--workers", str(workers)] if workers else [])], work / "log")


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


def _patch(target: Target, path: str, change: dict[str, Any]) -> None:
    connection = target.connect()
    try:
        body = json.dumps(change).encode()
        headers = {**target.headers(), "Content-Type": "application/json"}
        connection.request("PATCH", target.prefix + path, body, headers)
        answer = connection.getresponse()
        if answer.status != 200:
            raise LoadError(f"the server does not let itself be steered: {answer.read()[-300:]!r}")
    finally:
        connection.close()

"""The same pool and pipeline without a server: files in, directories of variants out."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from imgpool.errors import ImagingError
from imgpool.imaging.formats import INPUT_FORMATS, SNIFF_BYTES, sniff
from imgpool.pool import Context, Event, PoolClosed, WorkerPool
from imgpool.service.processors import WorkerProcessors
from imgpool.service.workshop import Workshop

EXTENSIONS = {f".{image_format.extension}" for image_format in INPUT_FORMATS} | {".jpeg", ".tiff"}


@dataclass(frozen=True)
class Job:
    """One file to process, and the directory for its variants."""

    source: Path
    into: Path


def find_images(paths: list[Path], out: Path) -> list[Job]:
    """The jobs for files and folders: a named file always, in a folder whatever has an image's bytes or ending.

    The variants of `a/b.jpg`, found in the folder `a`, go to `OUT/b.jpg/`.
    A path that is not there becomes a job that fails.
    """
    jobs: list[Job] = []
    made = out.resolve()  # what an earlier run made is no input, even when it lies inside a folder of inputs
    taken: set[Path] = set()
    above: set[Path] = set()  # folders of what is taken: the variants of one image must not lie inside another's
    for path in paths:
        if path.is_dir():
            found = [(each, each.relative_to(path)) for each in _files_below(path, made) if _looks_like_image(each)]
        else:
            found = [(path, Path(path.name))]
        for source, relative in found:
            into, number = out / relative, 2
            while into in taken or into in above or not taken.isdisjoint(into.parents) or into.is_file():
                into = out / relative.with_name(f"{relative.name}-{number}")
                number += 1
            taken.add(into)
            above.update(into.parents)
            jobs.append(Job(source, into))
    return jobs


def run_batch(jobs: list[Job], workshop: Workshop, *, timeout_s: float) -> Iterator[tuple[Job, str | None]]:
    """Process all jobs, and yield each as it ends with the reason why it failed, or None. Blocks; every job ends.

    A producer thread sends the jobs while the caller collects: doing both in turn in one thread would deadlock as soon
    as there are more jobs than places in the two channels and workers.
    """
    workers, budget = workshop.choice.workers, workshop.budget
    processors = WorkerProcessors(workshop.make_processor)

    def observe(event: Event) -> None:
        if event.kind == "worker_stopped":
            processors.close_mine()

    def handle(context: Context, job: Job) -> None:
        job.source.stat()  # "No such file" is clearer than what a decoder says
        staged = job.into.with_name(f".{job.into.name}.part")
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(parents=True)
        try:
            # Made here, and not as the worker starts: one that cannot be made is then this image's reason.
            processors.mine().process(job.source, staged, timeout_s=timeout_s, cancelled=context)
            job.into.mkdir(exist_ok=True)
            for variant in staged.iterdir():  # one by one: what else lies there is a person's own
                variant.replace(job.into / variant.name)
        finally:
            shutil.rmtree(staged, ignore_errors=True)

    pool = WorkerPool(
        handle,
        workers,
        jobs_capacity=workers,
        results_capacity=workers,
        weight_limit=budget.weight_limit,
        name="imgpool-batch",
        observer=observe,
    )

    def produce() -> None:
        try:
            for job in jobs:
                pool.submit(job, weight=budget.weigh(job.source))
        except PoolClosed:
            return  # the collector gave up
        pool.drain()

    pool.start()
    producer = threading.Thread(target=produce, name="imgpool-batch-producer", daemon=True)
    producer.start()
    try:
        for result in pool.results:
            yield result.job.payload, None if result.outcome == "succeeded" else _reason(result.error)
    finally:
        pool.abort("interrupted")
        producer.join()


def _reason(error: BaseException | None) -> str:
    if isinstance(error, ImagingError):
        return str(error)
    if isinstance(error, OSError):
        return f"{error.strerror}: {error.filename}"
    return f"an error of imgpool itself: {error!r}"


def _files_below(folder: Path, apart_from: Path) -> Iterator[Path]:
    for directory, folders, files in os.walk(folder):
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and Path(directory, name).resolve() != apart_from
        )
        yield from (Path(directory, name) for name in sorted(files) if not name.startswith("."))


def _looks_like_image(path: Path) -> bool:
    if path.suffix.lower() in EXTENSIONS:
        return True
    try:
        with path.open("rb") as file:
            return sniff(file.read(SNIFF_BYTES)) is not None
    except OSError:
        return False

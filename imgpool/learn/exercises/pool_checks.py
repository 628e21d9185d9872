"""What is checked in the exercises on pools, 6 to 9. Each check is a generator of findings, as `checks` says."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import imagesize

import imgpool.pool
from imgpool.imaging.samples import sample_images
from imgpool.learn.exercises.finding import Finding, say
from imgpool.learn.exercises.program import Missing, Program
from imgpool.pool import Context, PoolStatistics


def timeouts(program: Program) -> Iterator[Finding]:
    """Exercise 6."""
    limit_s, jobs = 0.15, (2, 50, 1)
    run = program.call("main", jobs=jobs, timeout_s=limit_s)
    began = {event.job: event.at for event in run.events if event.kind == "started"}
    ran = {
        event.job.payload: event.at - began[event.job] for event in run.events if event.kind == "finished" and event.job
    }
    if sorted(ran) != sorted(jobs):
        raise Missing(f"{run.said} should run each of its jobs in a WorkerPool; it ran {sorted(ran) or 'none'}")
    for steps, seconds in ran.items():
        if steps < 10:
            yield say(
                seconds >= steps * 0.02,
                f"the job of {steps} steps did all of them",
                f"the job of {steps} steps took {seconds:.3f} s, and so did not do all of them",
            )
        else:
            yield say(
                limit_s - 0.05 <= seconds <= limit_s + 0.3,
                f"the job of {steps} steps ended after {seconds:.2f} s",
                f"the job of {steps} steps should end soon after {limit_s} s; it ran for {seconds:.2f} s: let work() "
                "call ctx.check() before each step, and give the pool a job_timeout_s",
            )
    for steps in jobs:
        line = f"{steps} steps: {'done' if steps < 10 else 'out of time'}"
        yield say(line in run.printed.splitlines(), f'it prints "{line}"', f'it should print "{line}"')


def cancellation(program: Program) -> Iterator[Finding]:
    """Exercise 7."""
    for boxes, needle, workers in ((100, 5, 2), (40, 39, 4)):
        run = program.call("main", boxes=boxes, needle=needle, workers=workers)
        opened = [event.job.payload for event in run.events if event.kind == "started" and event.job]
        yield say(
            f"The needle is in box {needle}." in run.printed.splitlines(),
            f"{run.said} finds the needle",
            f'{run.said} should print "The needle is in box {needle}."; it prints {run.printed[:200]!r}',
        )
        yield say(
            set(opened) >= set(range(needle + 1)),
            "it looked into every box before",
            f"the pool should open the boxes in order, from 0; it opened {len(opened)}, and not all up to {needle}",
        )
        # Between the find and the abort, each worker may have opened some more. Machines stall: be generous.
        yield say(
            len(opened) <= needle + boxes // 2,
            f"it opened {len(opened)} of {boxes} boxes, and stopped when it was found",
            f"it should stop when it is found, in box {needle}; it opened {len(opened)} of {boxes}: abort() the pool",
        )


def image_queue(program: Program) -> Iterator[Finding]:
    """Exercise 8."""
    with tempfile.TemporaryDirectory(prefix="pictures-") as place:
        folder, out = Path(place, "in"), Path(place, "out")
        folder.mkdir()
        wanted = {"city.webp", "dunes.bmp", "fish-palette-transparent.png", "tiny-16x16.png", "aurora.avif"}
        good = [shutil.copy(path, folder) for path in sample_images() if path.name in wanted]
        (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 this is no picture")
        run = program.call("main", folder=str(folder), out=str(out), workers=2)
        lines = run.printed.splitlines()
        workers = {event.worker for event in run.events if event.kind == "started"}
        yield say(
            len(workers) == 2,
            "a pool of two workers made them",
            f"a WorkerPool of two workers should make them; {len(workers)} workers of a pool had a job",
        )
        for name in sorted(Path(path).name for path in good):
            made = [file for file in (out / name).glob("thumb.*") if max(imagesize.get(file)) <= 128]
            yield say(
                len(made) == 1, f"{name} has its thumbnail", f"there is no thumbnail of at most 128 pixels of {name}"
            )
            yield say(f"{name}: done" in lines, f'it prints "{name}: done"', f'it should print "{name}: done"')
        yield say(
            any(re.match(r"broken\.jpg: failed\W+\w", line) for line in lines),
            "it says that broken.jpg failed, and why",
            'it should print "broken.jpg: failed" and why: result.error of the pool\'s result says it',
        )


def refuse(program: Program) -> Iterator[Finding]:
    """Exercise 9."""

    def answer(ctx: Context, name: str) -> str:
        return name

    pool = imgpool.pool.WorkerPool(answer, 1, jobs_capacity=3, results_capacity=4, name="requests").start()
    pool.pause()
    try:
        run = program.call("receive", pool, ["a", "b", "c", "d", "e"])
        yield say(
            run.value == [202, 202, 202, 503, 503],
            "three of five requests are taken, two are refused",
            f"with three places, five requests should be answered 202, 202, 202, 503, 503; they are: {run.value}",
        )
        stats: PoolStatistics = pool.statistics()
        yield say(
            (stats.submitted, stats.refused) == (5, 2),
            "the pool was asked about each of them",
            f"each request should be handed to the pool once; it saw {stats.submitted}, and refused {stats.refused}",
        )
        pool.resume()
        pool.drain()
        run = program.call("receive", pool, ["late"])
        yield say(
            run.value == [503],
            "and what comes when the pool is closed is refused too",
            f"a closed pool raises PoolClosed: that is 503 as well; the answer is {run.value}",
        )
    finally:
        pool.abort()

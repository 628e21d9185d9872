"""How many workers

Work that computes wants about as many workers as there are cores; work that waits wants many more.

Both are measured on this machine. A worker too many holds a picture in memory, and gets no core of its own for it.
"""

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from imgpool.imaging.pipeline import Limits, make_variants
from imgpool.imaging.recipe import parse_recipe
from imgpool.imaging.samples import sample_images
from imgpool.pool import Context, WorkerPool

PHOTO = next(path for path in sample_images() if path.name == "mountain-lake.jpg")  # 12 megapixels


def computes(ctx: Context, number: int) -> None:
    """Make a smaller copy of a large photo."""
    with tempfile.TemporaryDirectory() as folder:
        make_variants(PHOTO, Path(folder), parse_recipe("large=fit:1600x1600"), Limits(), ctx.check, sync=False)


def waits(ctx: Context, number: int) -> None:
    """Wait, as a download does."""
    time.sleep(0.05)


def measure(work: Callable[[Context, int], None], workers: int, jobs: int) -> tuple[float, int]:
    """Return jobs per second, and the highest memory."""
    Path("/proc/self/clear_refs").write_text("5")  # forget the highest memory so far
    began = time.perf_counter()
    with WorkerPool(work, workers, jobs_capacity=workers, results_capacity=jobs) as pool:
        for number in range(jobs):
            pool.submit(number)
    took = time.perf_counter() - began
    return jobs / took, int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024


def main(workers: tuple[int, ...] = (1, 2, 4, 8), jobs: int = 16) -> None:
    """Measure both kinds of work with each number of workers."""
    for work in (computes, waits):
        rounds = [[measure(work, n, jobs) for n in sorted(workers)] for _ in range(2)]
        rows = [(n, *max(both)) for n, *both in zip(sorted(workers), *rounds, strict=True)]  # the less disturbed
        best = max(rate for _, rate, _ in rows)
        print(f"A job that {work.__name__}:\nworkers   jobs/s  peak MB")
        for count, rate, memory in rows:
            print(f"{count:7} {rate:8.1f} {memory:8}  {'#' * round(40 * rate / best)}")
        count, rate, memory = next(row for row in rows if row[1] >= 0.9 * best)
        why = "more might be faster still" if count == rows[-1][0] else "more are hardly faster, and take memory"
        print(f"I would take {count}: {rate / best:.0%} of the best rate on {os.cpu_count()} cores; {why}.\n")


if __name__ == "__main__":
    main()

"""A thread for every job

Without a pool each job gets a thread of its own, and nothing limits how many run, or how much memory they need.

Both have the same cores, so the crowd is no faster. But twice as many jobs need twice as much memory at once.
"""

import tempfile
import threading
import time
from pathlib import Path

from imgpool.imaging.pipeline import Limits, make_variants
from imgpool.imaging.recipe import parse_recipe
from imgpool.imaging.samples import sample_images
from imgpool.pool import Context, Team, WorkerPool

PHOTO = next(path for path in sample_images() if path.name == "mountain-lake.jpg")  # 12 megapixels


def process(ctx: Context, number: int) -> int:
    """Make a smaller copy; return how many threads there are."""
    with tempfile.TemporaryDirectory() as folder:
        make_variants(PHOTO, Path(folder), parse_recipe("large=fit:1600x1600"), Limits(), ctx.check, sync=False)
    return threading.active_count()


def with_a_pool(jobs: int, workers: int) -> int:
    """Return the most threads seen."""
    with WorkerPool(process, workers, jobs_capacity=workers, results_capacity=jobs) as pool:
        for number in range(jobs):
            pool.submit(number)
    return max(result.value or 0 for result in pool.results)


def with_a_thread_each(jobs: int, workers: int) -> int:
    """Return the most threads seen."""
    seen: list[int] = []
    with Team() as team:  # waits for its threads
        for number in range(jobs):
            team.start(lambda number=number: seen.append(process(Context(), number)))
    return max(seen)


def main(jobs: int = 24, workers: int = 2) -> None:
    """Measure both."""
    if jobs > 100:
        raise ValueError(f"jobs is {jobs}, allowed is 100 at most: each really gets a thread, and 20 MB or more")
    print(f"{jobs} photos          threads  seconds  memory (MB)")
    for run in (with_a_pool, with_a_thread_each):
        Path("/proc/self/clear_refs").write_text("5")  # forget the highest memory so far
        began = time.perf_counter()
        threads, took = run(jobs, workers), time.perf_counter() - began
        memory = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024
        print(f"{run.__name__:18} {threads:9} {took:8.2f} {memory:12}  {'#' * (memory // 20)}")


if __name__ == "__main__":
    main()

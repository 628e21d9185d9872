"""What the pool itself costs: no-op jobs through WorkerPool and through ThreadPoolExecutor, in one run.

    python tests/benchmarks/pool_overhead.py [--jobs 20000] [--rounds 9]

Both run the same number of no-op jobs on the same number of threads. The pool: one thread submits, another
collects, both channels bounded. The executor: one thread submits (its queue is unbounded) and then asks
each future for its result. The two alternate, so a noisy machine disturbs both alike; the ratio is taken
within each round (below 1: the pool is faster), and the median of these is printed with the smallest and
the largest.
"""

from __future__ import annotations

import argparse
import gc
import platform
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from imgpool.pool import Context, WorkerPool


def nothing(ctx: Context, payload: int) -> int:
    return payload


def nothing_plain(payload: int) -> int:
    return payload


def run_pool(workers: int, jobs: int, capacity: int) -> float:
    total = 0

    def collect() -> None:
        nonlocal total
        for result in pool.results:
            assert result.value is not None
            total += result.value

    pool = WorkerPool(nothing, workers, jobs_capacity=capacity, results_capacity=capacity, name="bench")
    collector = threading.Thread(target=collect, name="bench-collector")
    began = time.perf_counter()
    with pool:
        collector.start()
        for number in range(jobs):
            pool.submit(number)
    collector.join()
    elapsed = time.perf_counter() - began
    assert total == sum(range(jobs))
    return elapsed


def run_executor(workers: int, jobs: int) -> float:
    began = time.perf_counter()
    with ThreadPoolExecutor(workers) as executor:
        futures = [executor.submit(nothing_plain, number) for number in range(jobs)]
        total = sum(future.result() for future in futures)
    elapsed = time.perf_counter() - began
    assert total == sum(range(jobs))
    return elapsed


def measure(workers: int, jobs: int, capacity: int, rounds: int) -> tuple[list[float], list[float]]:
    """Return seconds per round of the pool and of the executor; who goes first alternates."""
    pool_s: list[float] = []
    executor_s: list[float] = []
    for turn in range(rounds + 1):
        for which in ("pool", "executor") if turn % 2 else ("executor", "pool"):
            gc.collect()
            seconds = run_pool(workers, jobs, capacity) if which == "pool" else run_executor(workers, jobs)
            if turn:  # the first round warms up
                (pool_s if which == "pool" else executor_s).append(seconds)
    return pool_s, executor_s


def main() -> None:
    parser = argparse.ArgumentParser(description="WorkerPool against ThreadPoolExecutor, no-op jobs")
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    print(f"Python {platform.python_version()}, {options.jobs} no-op jobs, median of {options.rounds} rounds")
    print("workers  capacity  pool us/job  executor us/job  ratio (min .. max)")
    for workers in (2, 8):
        for capacity in (64, 1024):
            pool_s, executor_s = measure(workers, options.jobs, capacity, options.rounds)
            ratios = [mine / theirs for mine, theirs in zip(pool_s, executor_s, strict=True)]
            print(
                f"{workers:7}  {capacity:8}  {statistics.median(pool_s) / options.jobs * 1e6:11.1f}"
                f"  {statistics.median(executor_s) / options.jobs * 1e6:15.1f}"
                f"  {statistics.median(ratios):5.2f} ({min(ratios):.2f} .. {max(ratios):.2f})"
            )


if __name__ == "__main__":
    main()

"""imgpool's own pool, with a policy for the moment when the jobs channel is full."""

from __future__ import annotations

import threading

from imgpool.learn.lab.experiment import Experiment
from imgpool.learn.lab.work import pause, work
from imgpool.pool import Context, PoolFull, WorkerPool


def main(lab: Experiment) -> None:
    """One thread submits, another collects."""

    def handle(context: Context, job: int) -> int:
        work(job, lab.kind, lab.length_ms)
        return job

    def collect() -> None:
        for result in pool.results:
            if result.outcome == "dropped":
                print(f"Job {result.job.payload} was dropped for a newer one")
            else:
                print(f"Job {result.job.payload} is done after {result.waited_s + result.ran_s:.2f} s")

    pool = WorkerPool(
        handle,
        lab.workers,
        jobs_capacity=lab.jobs_buffer,
        results_capacity=lab.results_buffer,
        policy=lab.pool_policy,
    )
    collector = threading.Thread(target=collect, name="collector")
    with pool:
        collector.start()
        for job in range(1, lab.jobs + 1):
            pause(lab.gap_ms)
            try:
                pool.submit(job)
            except PoolFull:
                print(f"Job {job} was refused: come back later")
    collector.join()

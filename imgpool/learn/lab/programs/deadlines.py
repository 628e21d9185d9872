"""A job that has a time limit: it looks at its context, and stops when nobody waits for it any more."""

from __future__ import annotations

import threading

from imgpool.learn.lab.experiment import Experiment
from imgpool.learn.lab.work import work
from imgpool.pool import Context, WorkerPool


def main(lab: Experiment) -> None:
    """Job 1 is short, job 2 longer, job 3 longer still; all have the same deadline."""

    def handle(context: Context, job: int) -> int:
        for _ in range(job * 2):  # in small portions, so that there are moments to look up
            context.check()  # raises when time is up, or when the pool was told to stop
            work(job, lab.kind, lab.length_ms)
        return job

    def collect() -> None:
        for result in pool.results:
            why = "" if result.error is None else f": {result.error}"
            print(f"Job {result.job.payload} {result.outcome} after {result.ran_s:.2f} s{why}")

    pool = WorkerPool(
        handle,
        lab.workers,
        jobs_capacity=lab.jobs_buffer,
        results_capacity=lab.results_buffer,
        job_timeout_s=lab.deadline_ms / 1000,
    )
    collector = threading.Thread(target=collect, name="collector")
    with pool:
        collector.start()
        for job in range(1, lab.jobs + 1):
            pool.submit(job)
    collector.join()

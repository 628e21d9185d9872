"""Out of time

Give each job timeout_s seconds: let one that takes longer end soon after, and print "N steps: out of time" for it
instead of "N steps: done". WorkerPool takes a job_timeout_s, and work() can ask ctx.
"""

import time

from imgpool.pool import Context, WorkerPool


def work(ctx: Context, steps: int) -> int:
    """Do so many steps of 20 ms."""
    for _ in range(steps):
        time.sleep(0.02)
    return steps


def main(jobs: tuple[int, ...] = (1, 50, 2), timeout_s: float = 0.1) -> None:
    """Run the jobs, and say how each ended."""
    with WorkerPool(work, 1, jobs_capacity=len(jobs), results_capacity=len(jobs)) as pool:
        for steps in jobs:
            pool.submit(steps)
    for result in pool.results:
        print(f"{result.job.payload} steps: done")


if __name__ == "__main__":
    main()

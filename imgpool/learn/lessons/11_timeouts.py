"""Timeouts

A context carries a deadline, and everything done on its behalf asks it: may I go on, and for how long?

Threads cannot be stopped from outside, so work has to look at its context between its steps, and to hand it to
whatever it waits for. Then one deadline bounds all of it: the wait for a place, the work, the wait for a result.
"""

import time

from imgpool.pool import ChannelTimeout, Context, DeadlineExceeded, Team, WorkerPool

STEP_S = 0.02


def work(ctx: Context, steps: int) -> str:
    """Do so many steps, and look at the context before each."""
    for done in range(steps):
        if ctx.done:
            print(f"  {steps} steps: out of time after {done}")
        ctx.check()  # raises DeadlineExceeded
        time.sleep(STEP_S)
    return f"{steps} steps done"


def main(job_timeout_s: float = 0.1, steps: tuple[int, ...] = (1, 2, 50)) -> None:
    """Show three limits: for each job, for a wait, and for a whole piece of work."""
    print(f"Each job has {job_timeout_s} s:")
    with WorkerPool(work, 1, jobs_capacity=5, results_capacity=len(steps), job_timeout_s=job_timeout_s) as pool:
        for count in steps:
            pool.submit(count)
    for result in pool.results:
        print(f"  {result.outcome}: {result.value or type(result.error).__name__}")

    with Team() as team:
        channel = team.channel(1)
        channel.send("fills the buffer")
        print("A wait has a limit of its own:")
        try:
            channel.send("finds no place", timeout_s=STEP_S)
        except ChannelTimeout:
            print("  no place became free in time")

        print("One deadline for several waits:")
        ctx = Context(timeout_s=2 * STEP_S)
        print(f"  received: {channel.receive(ctx=ctx)}")
        try:
            channel.receive(ctx=ctx)
        except DeadlineExceeded:
            print(f"  nothing more came before the deadline; {ctx.remaining_s()} s left")


if __name__ == "__main__":
    main()

"""Cancellation

Cancelling a context ends everything that was started on its behalf, and nothing else.

Contexts form a tree: a child ends with its parent, never the other way round. Whoever waits with a context is woken at
once; whoever computes sees it at the next look. Aborting a pool does the same to all of its jobs.
"""

import threading
import time

from imgpool.pool import Cancelled, Context, Team, WorkerPool


def main(patience_s: float = 10.0) -> None:
    """Cancel a tree, a wait, and a pool."""
    server = Context()
    request, other = server.child(), server.child()
    thumbnail = request.child()
    request.cancel("the client went away")
    for name, ctx in (("thumbnail", thumbnail), ("request", request), ("other", other), ("server", server)):
        print(f"{name:9}  {'ended: ' + str(ctx.reason) if ctx.done else 'goes on'}")

    def wait() -> None:
        began = time.perf_counter()
        try:
            channel.receive(ctx=other)
        except Cancelled as error:
            early = time.perf_counter() - began < patience_s
            print(f"A thread that waited for an item was woken {'at once' if early else 'late'}: {error}")

    with Team() as team:
        channel = team.channel(1)
        team.start(wait)
        other.cancel("the server stops")

    begun = threading.Event()

    def work(ctx: Context, number: int) -> None:
        begun.set()
        ctx.wait(patience_s)  # a sleep that a cancel ends
        ctx.check()

    pool = WorkerPool(work, 1, jobs_capacity=5, results_capacity=5).start()
    for number in range(3):
        pool.submit(number)
    begun.wait()
    pool.abort("enough", timeout_s=patience_s)  # waits until the one that had begun has ended
    for result in pool.results:
        when = "after it had begun" if result.worker else "before it began"
        print(f"job {result.job.number}  {result.outcome} {when}: {result.error}")


if __name__ == "__main__":
    main()

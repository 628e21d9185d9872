"""The life of a request

A request is let in or refused at the door, waits in the queue, is worked on, and is answered, all within its patience.

Here the pool is paused while the requests come, as if its worker were busy: so each run ends alike. Whoever finds no
place is refused at once, which costs nearly nothing, and can try again later. Whoever waited too long is skipped when
its turn comes: nobody is there any more to read the answer, so working for it would only make the others late.
"""

import time
from typing import NamedTuple

from imgpool.pool import Context, DeadlineExceeded, PoolFull, WorkerPool


class Request(NamedTuple):
    """What a client sent, and how long it is ready to wait."""

    name: str
    ctx: Context


def handle(ctx: Context, request: Request) -> str:
    """Answer a request, unless its client has given up."""
    request.ctx.check()  # raises DeadlineExceeded
    time.sleep(0.01)
    return f"answer for {request.name}"


def main(places: int = 3, requests: int = 5, patience_s: float = 10.0, impatience_s: float = 0.01) -> None:
    """Let requests come; the second one is impatient."""
    pool = WorkerPool(handle, 1, jobs_capacity=places, results_capacity=places).start()
    pool.pause()
    for number in range(1, requests + 1):
        request = Request(f"request {number}", Context(timeout_s=impatience_s if number == 2 else patience_s))
        try:
            pool.try_submit(request)
            print(f"{request.name}: 202 accepted, it waits in the queue")
        except PoolFull:
            print(f"{request.name}: 503 refused, the queue is full")

    time.sleep(2 * impatience_s)  # the worker is busy with something else, and comes back
    pool.resume()
    pool.drain()
    for result in pool.results:
        if isinstance(result.error, DeadlineExceeded):
            print(f"{result.job.payload.name}: skipped, its client did not wait; {result.ran_s:.3f} s of work")
        else:
            print(f"{result.job.payload.name}: {result.value}; it waited {result.waited_s:.3f} s")


if __name__ == "__main__":
    main()

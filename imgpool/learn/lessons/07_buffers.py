"""Channels with and without a buffer

A buffer lets the producer run ahead of the workers: it takes up a burst, and never makes the workers faster.

Without one (capacity 0) a job passes from hand to hand, so the producer stands until a worker is free. Measured is how
long it stood, first for a burst that ends, then for a stream that goes on. The burst is over before the buffer is
full; the stream fills any buffer, and then the producer waits as if there were none.
"""

import time

from imgpool.pool import Channel, Team

WORK_S = 0.01


def worker(jobs: Channel[int]) -> None:
    """Take 10 ms for each job."""
    for _ in jobs:
        time.sleep(WORK_S)


def produce(jobs: int, capacity: int, workers: int) -> float:
    """Return for how many seconds the producer stood in send()."""
    blocked_s = 0.0
    with Team() as team:
        channel = team.channel(capacity, "jobs")
        for _ in range(workers):
            team.start(worker, channel)
        for job in range(jobs):
            began = time.perf_counter()
            channel.send(job)
            blocked_s += time.perf_counter() - began
        channel.close()
    return blocked_s


def main(capacities: tuple[int, ...] = (0, 1, 5, 10), burst: int = 10, stream: int = 60, workers: int = 1) -> None:
    """Measure a burst and a stream with each capacity."""
    for name, jobs in (("A burst", burst), ("A stream", stream)):
        print(f"{name} of {jobs} jobs\ncapacity  the producer stood")
        for capacity in capacities:
            blocked_s = produce(jobs, capacity, workers)
            share = blocked_s / (jobs * WORK_S / workers)
            print(f"{capacity:8}  {blocked_s * 1000:6.0f} ms  {share:4.0%} of the time  {'#' * round(40 * share)}")
        print()


if __name__ == "__main__":
    main()

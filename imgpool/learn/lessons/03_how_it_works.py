"""How it works

A pool is the same three things in one object, and it can tell what happens: submitted, started, finished.

First everything that happened, in order. Then the same as a picture: a line for each worker, time from left to right,
the last digit of the job that is in its hands. Dots are a worker that has nothing to do.
"""

import time

from imgpool.pool import Context, Event, WorkerPool

WIDTH = 60


def double(ctx: Context, number: int) -> int:
    """One job."""
    time.sleep(0.01 * (1 + number % 3))  # some take longer than others
    return number * 2


def main(workers: int = 3, buffer: int = 5, jobs: int = 8) -> None:
    """Run the jobs, and draw who did what when."""
    events: list[Event] = []  # many threads append to it; a list can bear that
    pool = WorkerPool(double, workers, jobs_capacity=buffer, results_capacity=jobs, observer=events.append)
    with pool:  # starts the workers; at the end, finishes what was submitted and ends them
        for number in range(1, jobs + 1):
            pool.submit(number)
    print("Results:", sorted(result.value or 0 for result in pool.results))

    events.sort(key=lambda event: event.at)
    began, took = events[0].at, events[-1].at - events[0].at
    lanes: dict[str, str] = {}  # of each worker: what it did so far
    hands: dict[str, str] = {}  # of each worker: what it does now
    for event in events:
        at = event.at - began
        job = str(event.job.number) if event.job else ""
        print(f"{at * 1000:6.1f} ms  {event.kind:14} {job:3} {event.worker or ''}")
        if event.worker:
            lane = lanes.get(event.worker, "")
            lanes[event.worker] = lane + hands.get(event.worker, " ") * (int(at / took * WIDTH) - len(lane))
            hands[event.worker] = job[-1] if event.kind == "started" else "."
    for worker, lane in sorted(lanes.items()):
        print(f"{worker}  {lane}")


if __name__ == "__main__":
    main()

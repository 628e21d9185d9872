"""The complete pool

Three workers share one jobs channel and one results channel; whichever is free takes the next job.

Run it a few times: which worker gets which job changes, and so does the order of the results. The results themselves
do not. Try --workers 1, --jobs 13, and then --jobs 14.
"""

import time

from imgpool.pool import Channel, Team


def worker(number: int, jobs: Channel[int], results: Channel[int], work_s: float) -> None:
    """Double the jobs of the channel, one at a time."""
    for job in jobs:
        print(f"Worker {number} processing job {job}\n", end="")  # in one piece: others print at the same time
        time.sleep(work_s)  # a job that takes a while
        results.send(job * 2)


def main(workers: int = 3, buffer: int = 5, jobs: int = 5, work_s: float = 0.05) -> None:
    """Start the workers, send the jobs, close, collect the results."""
    with Team() as team:
        numbers, results = team.channel(buffer, "jobs"), team.channel(buffer, "results")
        for number in range(1, workers + 1):
            team.start(worker, number, numbers, results, work_s)
        for job in range(1, jobs + 1):
            numbers.send(job)
        numbers.close()  # no more jobs: each worker finishes what is there, and ends
        for _ in range(jobs):
            print(f"Result: {results.receive()}")


if __name__ == "__main__":
    main()

"""More workers

run() starts one worker, whatever it is asked for: let it start as many as it is told. Then let main() run 12 jobs with
1, 2, 4 and 8 workers, and print for each a line with the number of workers and the seconds it took, like "4 0.15".
"""

import time

from imgpool.pool import Channel, Team


def worker(jobs: Channel[int], results: Channel[int]) -> None:
    """Do one job after the other; each takes a while."""
    for number in jobs:
        time.sleep(0.05)
        results.send(number * 2)


def run(workers: int, jobs: int) -> None:
    """Run the jobs with so many workers."""
    with Team() as team:
        numbers, results = team.channel(5, "jobs"), team.channel(jobs, "results")
        team.start(worker, numbers, results)
        for number in range(jobs):
            numbers.send(number)
        numbers.close()
        for _ in range(jobs):
            results.receive()


def main() -> None:
    """Measure (time.perf_counter() tells the seconds on a clock)."""
    run(1, 12)


if __name__ == "__main__":
    main()

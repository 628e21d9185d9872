"""Your turn

Change two things in this program, and watch: what the workers do, and how many of them there are.

Exercise 1: squares instead of doubles. Exercise 2: more workers; how does the time change, and when does it stop to
change? "imgpool exercise" lists these and more, "imgpool exercise 1" writes a file to start from, and
"imgpool exercise 1 --check FILE" runs yours and says what is right and what is missing.
"""

import time

from imgpool.pool import Channel, Team


def work(number: int) -> int:
    """One job. Change it."""
    return number * 2


def worker(jobs: Channel[int], results: Channel[int], work_s: float) -> None:
    """Do the jobs of the channel, one at a time."""
    for number in jobs:
        time.sleep(work_s)  # a job that takes a while
        results.send(work(number))


def run(workers: int, jobs: int, work_s: float) -> list[int]:
    """Return the results, in the order in which they came."""
    with Team() as team:
        numbers, results = team.channel(5, "jobs"), team.channel(jobs, "results")
        for _ in range(workers):
            team.start(worker, numbers, results, work_s)
        for number in range(1, jobs + 1):
            numbers.send(number)
        numbers.close()
        return [results.receive() for _ in range(jobs)]


def main(workers: tuple[int, ...] = (1, 2, 3, 6, 12), jobs: int = 12, work_s: float = 0.05) -> None:
    """Run the same jobs with each number of workers."""
    print("workers  seconds")
    for count in workers:
        began = time.perf_counter()
        results = run(count, jobs, work_s)
        took = time.perf_counter() - began
        print(f"{count:7} {took:8.2f}  {'#' * round(40 * took / (jobs * work_s))}")
    print("Results:", sorted(results))


if __name__ == "__main__":
    main()

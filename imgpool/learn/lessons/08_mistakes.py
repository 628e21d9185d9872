"""Three common mistakes

Forgetting to close the jobs channel, not collecting the results, and starting far too many workers.

The first two would make a program stand still without a word. In a Team they raise a DeadlockError, which says who
waits for what; Go does the same with "all goroutines are asleep". The third works, and wastes.
"""

import textwrap
import time

from imgpool.pool import Channel, DeadlockError, Team


def worker(jobs: Channel[int], results: Channel[int]) -> None:
    """Double numbers until there are no more."""
    for number in jobs:
        results.send(number * 2)


def run(jobs: int, workers: int, close: bool = True, collect: bool = True) -> None:
    """The complete pool; with close=False or collect=False, one step of it is forgotten."""
    with Team() as team:
        numbers, results = team.channel(5, "jobs"), team.channel(5, "results")
        for _ in range(workers):
            team.start(worker, numbers, results)
        for job in range(1, jobs + 1):
            numbers.send(job)
        if close:
            numbers.close()
        if collect:
            for _ in range(jobs):
                results.receive()


def diagnose(title: str, jobs: int, workers: int, **forgotten: bool) -> None:
    """Make a mistake, and print what the team says."""
    print(f"{title}:")
    try:
        run(jobs, workers, **forgotten)
        print("  It went well: the buffers had room for everything.\n")
    except DeadlockError as error:
        print(textwrap.indent(textwrap.fill(str(error), 100), "  ") + "\n")


def main(jobs: int = 20, workers: int = 3, too_many: int = 500) -> None:
    """Make each mistake once."""
    diagnose("Forgot to close jobs", 5, workers, close=False)
    diagnose("Forgot to collect", jobs, workers, collect=False)
    print("Too many workers, for 5 jobs:\nworkers  took")
    for count in (workers, too_many):
        began = time.perf_counter()
        run(5, count)
        print(f"{count:7}  {(time.perf_counter() - began) * 1000:.1f} ms")
    print(f"At least {max(0, too_many - 5)} of the {too_many} were started for nothing.")


if __name__ == "__main__":
    main()

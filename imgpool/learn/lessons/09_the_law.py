"""The law of sending everything first

Whoever sends all jobs before collecting any result gets stuck exactly when jobs > workers + both buffers.

Each worker holds one job in its hands, each buffer holds as many as it has places; one job more has nowhere to go. A
larger buffer only moves the moment. To send and to collect in two different threads ends it for good.
"""

from imgpool.pool import Channel, DeadlockError, Team


def worker(jobs: Channel[int], results: Channel[int]) -> None:
    """Double numbers until there are no more."""
    for number in jobs:
        results.send(number * 2)


def ends_well(jobs: int, workers: int, jobs_buffer: int, results_buffer: int) -> bool:
    """Really run it, and return whether it came to an end."""
    try:
        with Team() as team:
            numbers, results = team.channel(jobs_buffer, "jobs"), team.channel(results_buffer, "results")
            for _ in range(workers):
                team.start(worker, numbers, results)
            for job in range(jobs):
                numbers.send(job)
            numbers.close()
            for _ in range(jobs):
                results.receive()
    except DeadlockError:
        return False
    return True


def main(
    workers: tuple[int, ...] = (1, 2, 4), jobs_buffer: tuple[int, ...] = (0, 2, 5), results_buffer: int = 1
) -> None:
    """Find the first number of jobs that gets stuck, for each combination."""
    print("workers + jobs buffer + results buffer = law    ends well up to    stuck from")
    for count in workers:
        for buffer in jobs_buffer:
            stuck = 1
            while ends_well(stuck, count, buffer, results_buffer):
                stuck += 1
            law = count + buffer + results_buffer
            verdict = "as the law says" if stuck == law + 1 else "NOT as the law says"
            print(f"{count:7} + {buffer:11} + {results_buffer:14} = {law:3} {stuck - 1:18} {stuck:13}  {verdict}")


if __name__ == "__main__":
    main()

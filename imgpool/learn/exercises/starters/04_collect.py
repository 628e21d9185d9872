"""Collect while you send

This program sends every job before it collects a result, and gets stuck. Mend it without a larger buffer.
"""

from imgpool.pool import Channel, Team


def worker(jobs: Channel[int], results: Channel[int]) -> None:
    """Do one job after the other."""
    for number in jobs:
        results.send(number * 2)


def main(jobs: int = 20, workers: int = 3, buffer: int = 2) -> None:
    """Send everything, then collect everything."""
    with Team() as team:
        numbers, results = team.channel(buffer, "jobs"), team.channel(buffer, "results")
        for _ in range(workers):
            team.start(worker, numbers, results)
        for number in range(1, jobs + 1):
            numbers.send(number)
        numbers.close()
        for _ in range(jobs):
            print(f"Result: {results.receive()}")


if __name__ == "__main__":
    main()

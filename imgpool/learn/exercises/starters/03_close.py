"""The forgotten close

This program prints its results and then stands still, because its workers wait for more jobs. Mend it.
"""

from imgpool.pool import Channel, Team


def worker(jobs: Channel[int], results: Channel[int]) -> None:
    """Do one job after the other."""
    for number in jobs:
        results.send(number * 2)


def main(jobs: int = 5, workers: int = 3) -> None:
    """The complete pool, but for one line."""
    with Team() as team:
        numbers, results = team.channel(5, "jobs"), team.channel(5, "results")
        for _ in range(workers):
            team.start(worker, numbers, results)
        for number in range(1, jobs + 1):
            numbers.send(number)
        for _ in range(jobs):
            print(f"Result: {results.receive()}")


if __name__ == "__main__":
    main()

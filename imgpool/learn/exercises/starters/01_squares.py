"""Squares instead of doubles

Let the workers send the square of each number, where this program sends its double.
"""

from imgpool.pool import Channel, Team


def worker(jobs: Channel[int], results: Channel[int]) -> None:
    """Do one job after the other."""
    for number in jobs:
        results.send(number * 2)


def main(jobs: int = 5, workers: int = 3) -> None:
    """The complete pool."""
    with Team() as team:
        numbers, results = team.channel(5, "jobs"), team.channel(5, "results")
        for _ in range(workers):
            team.start(worker, numbers, results)
        for number in range(1, jobs + 1):
            numbers.send(number)
        numbers.close()
        for _ in range(jobs):
            print(f"Result: {results.receive()}")


if __name__ == "__main__":
    main()

"""The worker function

A worker takes one job after the other out of a channel, and sends each result into another channel.

It knows nothing of who sends the jobs, who wants the results, or how many other workers there are. That is why three
of it, or three hundred, need no change.
"""

from imgpool.pool import Channel, Team


def worker(jobs: Channel[int], results: Channel[int]) -> None:
    """Double numbers until there are no more."""
    for number in jobs:  # waits for the next job; ends once jobs is closed and empty
        results.send(number * 2)  # waits while the results channel is full
    print("The worker has seen that jobs is closed, and ends.")


def main(jobs: int = 3) -> None:
    """Send one number at a time to one worker."""
    with Team() as team:  # threads that belong together; the block ends when all of them have ended
        numbers, results = team.channel(1, "jobs"), team.channel(1, "results")
        team.start(worker, numbers, results)
        for number in range(1, jobs + 1):
            numbers.send(number)
            print(f"Sent {number}, received {results.receive()}.")
        numbers.close()


if __name__ == "__main__":
    main()

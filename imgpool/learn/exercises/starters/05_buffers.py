"""How long the producer stands

Let blocked_s() measure, and return, for how many seconds the producer stood in send(), in all.
"""

import time

from imgpool.pool import Channel, Team


def worker(jobs: Channel[int]) -> None:
    """Take 20 ms for each job."""
    for _ in jobs:
        time.sleep(0.02)


def blocked_s(capacity: int, jobs: int) -> float:
    """Send the jobs to one worker, over a channel with so many places."""
    with Team() as team:
        channel = team.channel(capacity, "jobs")
        team.start(worker, channel)
        for job in range(jobs):
            channel.send(job)
        channel.close()
    return 0.0


def main() -> None:
    """Without a buffer, with some, and with enough for all."""
    for capacity in (0, 1, 5, 10):
        print(capacity, blocked_s(capacity, 10))


if __name__ == "__main__":
    main()

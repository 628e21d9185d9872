"""Refuse what has no place

While the pool is full, receive() stands still, and so does everybody behind it. Let it never wait: 202 for what the
pool took, 503 for what had no place, and 503 when the pool is closed.
"""

from imgpool.pool import Context, WorkerPool


def receive(pool: WorkerPool[str, str], names: list[str]) -> list[int]:
    """Hand the requests to the pool; return an answer for each."""
    answers = []
    for name in names:
        pool.submit(name)
        answers.append(202)
    return answers


def main(places: int = 3) -> None:
    """Five requests come to a pool that is paused."""

    def answer(ctx: Context, name: str) -> str:
        return f"answer for {name}"

    pool = WorkerPool(answer, 1, jobs_capacity=places, results_capacity=places).start()
    pool.pause()
    print(receive(pool, ["a", "b", "c", "d", "e"]))
    pool.drain()
    print(receive(pool, ["too late"]))


if __name__ == "__main__":
    main()

"""Stop when it is found

This program opens every box. Let it stop as soon as the needle is found: no further box may be opened then. Printing
"The needle is in box N." stays as it is.
"""

import time

from imgpool.pool import Context, WorkerPool


def main(boxes: int = 100, needle: int = 7, workers: int = 2) -> None:
    """Search the boxes for the needle."""

    def look(ctx: Context, box: int) -> bool:
        time.sleep(0.01)  # it takes a while to open a box
        return box == needle

    with WorkerPool(look, workers, jobs_capacity=boxes, results_capacity=boxes) as pool:
        for box in range(boxes):
            pool.submit(box)
        for _ in range(boxes):
            result = pool.results.receive()
            if result.value:
                print(f"The needle is in box {result.job.payload}.")


if __name__ == "__main__":
    main()

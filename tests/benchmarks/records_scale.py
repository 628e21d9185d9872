"""Does the status slow down with the records? Times of one call at 10 to 1,000,000 records, in one run.

`python tests/benchmarks/records_scale.py [MOST]`
"""

from __future__ import annotations

import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from imgpool.service.records import NewImage
from imgpool.service.sqlite import SQLiteRecords

CALLS = 200


def fill(records: SQLiteRecords, first: int, last: int) -> None:
    """Rows as `add` writes them, but in one transaction: a million syncs would take an hour."""
    rows = (
        (
            f"{number:032x}",
            f"{number}.jpg",
            "done" if number % 50 else "failed",
            2_500_000,
            "jpeg",
            1.0 * number,
            2.0 * number,
            f"owner {number % 100}" if number % 4 == 0 else None,
        )
        for number in range(first, last)
    )
    with records._transaction() as db:
        db.executemany(
            "INSERT INTO images (id, name, state, bytes, format, received_at, finished_at, owner) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )


def median_us(call: Callable[[], object]) -> float:
    times = []
    for _ in range(CALLS):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e6


COLUMNS = ("counts", "page", "deep page", "failed page", "owner's", "own failed", "get", "add")


def measure(records: SQLiteRecords, size: int, new_ids: Iterator[int]) -> list[float]:
    """One row: the median of each call at this many records, in microseconds."""

    def add() -> None:
        records.add(NewImage(f"{next(new_ids):032x}", "a.jpg", 1, "jpeg", 1, 1, 1.0))

    middle = size // 2
    return [
        median_us(records.counts),
        median_us(lambda: records.page(None, 50, None)),
        median_us(lambda: records.page(None, 50, middle)),
        median_us(lambda: records.page("failed", 50, None)),
        median_us(lambda: records.page(None, 50, None, "owner 4")),
        median_us(lambda: records.page("failed", 50, None, "owner 0")),
        median_us(lambda: records.get(f"{middle:032x}")),
        median_us(add),
    ]


def main() -> None:
    most = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    print("median, us" + "".join(f"{column:>13}" for column in COLUMNS))
    with tempfile.TemporaryDirectory() as directory:
        records = SQLiteRecords(Path(directory) / "imgpool.db")
        filled, new_ids = 0, itertools.count(2 * most)
        for size in (10, 1000, 100_000, 1_000_000):
            if size > most:
                break
            fill(records, filled, size)
            filled = size
            print(f"{size:>10}" + "".join(f"{each:13.0f}" for each in measure(records, size, new_ids)))
        records.close()


if __name__ == "__main__":
    main()

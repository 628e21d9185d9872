"""Does the status slow down with the records? Times of one call at 10 to 1,000,000 records, in one run.

`python tests/benchmarks/records_scale.py [MOST]`
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
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
        )
        for number in range(first, last)
    )
    with records._transaction() as db:
        db.executemany(
            "INSERT INTO images (id, name, state, bytes, format, received_at, finished_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
            rows,
        )


def median_us(call: Callable[[], object]) -> float:
    times = []
    for _ in range(CALLS):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e6


def main() -> None:
    most = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    print(
        f"{'records':>9}  {'counts':>8}  {'page':>8}  {'deep page':>9}  {'failed page':>11}  {'get':>8}  {'add':>8}  (median, us)"
    )
    with tempfile.TemporaryDirectory() as directory:
        records = SQLiteRecords(Path(directory) / "imgpool.db")
        number, extra = 0, most
        for size in (10, 1000, 100_000, 1_000_000):
            if size > most:
                break
            fill(records, number, size)
            number = size

            def add() -> None:
                nonlocal extra
                extra += 1
                records.add(NewImage(f"{extra:032x}", "a.jpg", 1, "jpeg", 1, 1, 1.0))

            row = [
                median_us(records.counts),
                median_us(lambda: records.page(None, 50, None)),
                median_us(lambda: records.page(None, 50, number // 2)),
                median_us(lambda: records.page("failed", 50, None)),
                median_us(lambda: records.get(f"{number // 2:032x}")),
                median_us(add),
            ]
            print(
                f"{size:>9}  {row[0]:8.0f}  {row[1]:8.0f}  {row[2]:9.0f}  {row[3]:11.0f}  {row[4]:8.0f}  {row[5]:8.0f}"
            )
        records.close()


if __name__ == "__main__":
    main()

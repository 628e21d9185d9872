"""What the records of the scale-out cost: does anything slow down with their number, and how many images a second does
the database let through? A server of its own is started for it, with PostgreSQL's default settings.

`python tests/benchmarks/postgres_cost.py [MOST]`: first the median of one call at 10 to MOST (1,000,000) records; then
images a second through reserve, add, begin and finish, and the median of each, with 1, 4 and 16 connections at once.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import psycopg
from records_scale import COLUMNS, measure, median_us

from imgpool.scaleout.database import Database
from imgpool.scaleout.leftovers import Leftovers
from imgpool.scaleout.postgres import PostgresRecords
from imgpool.scaleout.room import Room
from imgpool.service.records import NewImage, Outcome, VariantRecord
from servers.postgresql import PostgreSQL, programs

RUN_S = 8.0
LARGE = VariantRecord("large", "large.jpg", "jpeg", 1600, 1200, 300_000)
THUMB = VariantRecord("thumb", "thumb.jpg", "jpeg", 256, 192, 9000)
DONE = Outcome(None, 0.5, 0.1, "jpeg", 4000, 3000, (LARGE, THUMB))


def fill(url: str, first: int, last: int) -> None:
    """Rows as an upload and its end leave them, past the trigger, which would count them one by one."""
    with psycopg.connect(url, autocommit=True) as connection:
        with connection.transaction():
            connection.execute("ALTER TABLE images DISABLE TRIGGER USER")
            connection.execute(
                "INSERT INTO images (id, name, state, bytes, format, received_at, finished_at, owner) "
                "SELECT lpad(to_hex(n), 32, '0'), n || '.jpg', CASE WHEN n %% 50 = 0 THEN 'failed' ELSE 'done' END, "
                "2500000, 'jpeg', n, 2 * n, CASE WHEN n %% 4 = 0 THEN 'owner ' || n %% 100 END "
                "FROM generate_series(%s::bigint, %s::bigint) AS n",
                (first, last - 1),
            )
            connection.execute("ALTER TABLE images ENABLE TRIGGER USER")
            connection.execute(
                "UPDATE counts SET accepted = accepted + %(n)s, done = done + %(n)s WHERE shard = 0",
                {"n": last - first},
            )
        connection.execute("VACUUM ANALYZE images")


def flat(url: str, most: int) -> None:
    columns = (*COLUMNS, "room", "expire", "due")
    print("median, us" + "".join(f"{column:>13}" for column in columns), flush=True)
    database = Database(url)
    database.open()
    records = PostgresRecords(database, worker="w", lease_s=15)
    room, leftovers = Room(database, host="h", lease_s=15), Leftovers(database, lease_s=0)
    room.configure("host", 100_000)
    filled, new_ids = 0, itertools.count(2 * most)
    for size in (10, 1000, 100_000, 1_000_000):
        if size > most:
            break
        # `measure` adds 200 each time, which stay queued; the last row has 600 queued.
        fill(url, filled, size)
        filled = size
        row = measure(records, size, new_ids)  # type: ignore[arg-type]
        row += [
            median_us(room.statistics),
            median_us(lambda: leftovers.expire(1.0, 3)),
            median_us(lambda: leftovers.due(3600, 100)),
        ]
        print(f"{size:>10}" + "".join(f"{each:13.0f}" for each in row), flush=True)
    database.close()


def through(url: str, connections: int) -> None:
    """As many threads as connections, each takes one image after another from a slot to its end."""
    database = Database(url, connections=connections)
    database.open()
    records = PostgresRecords(database, worker="w", lease_s=15)
    room = Room(database, host="h", lease_s=15)
    room.configure("host", 100_000)
    times: dict[str, list[float]] = defaultdict(list)
    ids = itertools.count(time.time_ns())
    end = time.monotonic() + RUN_S

    def timed(name: str, call: Callable[[], object]) -> None:
        began = time.perf_counter()
        call()
        times[name].append(time.perf_counter() - began)

    def run() -> None:
        while time.monotonic() < end:
            image_id = f"{next(ids):032x}"
            image = NewImage(image_id, "a.jpg", 2_500_000, "jpeg", 4000, 3000, 1.0)
            timed("reserve", lambda: room.reserve(image_id))  # noqa: B023
            timed("add", lambda: records.add(image))  # noqa: B023
            timed("begin", lambda: records.begin(image_id, 2.0))  # noqa: B023
            timed("finish", lambda: records.finish(image_id, 3.0, DONE))  # noqa: B023

    threads = [threading.Thread(target=run) for _ in range(connections)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - began
    medians = "".join(f"{1000 * statistics.median(values):10.2f}" for values in times.values())
    print(f"{connections:>12}{len(times['finish']) / took:12.0f}{medians}", flush=True)
    database.close()


def main() -> None:
    most = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    found = programs()
    if found is None:
        sys.exit("PostgreSQL is not installed")
    server = PostgreSQL(found, fsync=True)
    try:
        server.start()
        with server.database() as url:
            flat(url, most)
            steps = "".join(f"{name:>10}" for name in ("reserve", "add", "begin", "finish"))
            print(f"{'connections':>12}{'images/s':>12}{steps}   median ms", flush=True)
            for connections in (1, 4, 16):
                through(url, connections)
    finally:
        server.remove()


if __name__ == "__main__":
    main()

"""What is asked all the time costs the same at ten records and at a million, also where statistics mislead."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, LiteralString

import psycopg
import pytest

from imgpool.scaleout.database import Database
from imgpool.scaleout.leftovers import Leftovers
from imgpool.scaleout.postgres import PostgresRecords

ROWS = 20_000


class Noting(Database):
    """Keeps what was asked last."""

    asked: tuple[LiteralString, Sequence[Any]]

    def rows(self, sql: LiteralString, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        self.asked = (sql, values)
        return super().rows(sql, values)


@pytest.fixture
def after_a_flood(database_url: str) -> Iterator[Noting]:
    """The statistics are of a moment when all images were queued, and half of them ann's, who has none any more."""
    database = Noting(database_url)
    database.open()
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE images SET (autovacuum_enabled = false)")
        connection.execute("ALTER TABLE images DISABLE TRIGGER USER")
        connection.execute(
            "INSERT INTO images (id, name, state, bytes, format, received_at, finished_at, owner) SELECT md5(n::text), "
            "'a.jpg', 'queued', 1, 'jpeg', n, n, CASE WHEN n %% 2 = 0 THEN 'ann' END FROM generate_series(1, %s) AS n",
            (ROWS,),
        )
        connection.execute("ANALYZE images")
        connection.execute("UPDATE images SET state = 'done', owner = NULL")
        connection.execute("INSERT INTO members (name, kind, host, pid, concurrency) VALUES ('a', 'worker', 'a', 1, 1)")
    yield database
    database.close()


def test_nothing_is_read_only_to_be_dropped(after_a_flood: Noting) -> None:
    records = PostgresRecords(after_a_flood, worker="w", lease_s=15)
    leftovers = Leftovers(after_a_flood, lease_s=0)
    questions: tuple[Callable[[], list[Any]], ...] = (
        lambda: records.backlog(0, 200),
        lambda: leftovers.due(30.0, 500),
        lambda: records.page("queued", 50, None),
        lambda: records.page("queued", 50, ROWS),
        lambda: records.page(None, 50, None, "ann"),
        lambda: records.page("queued", 50, ROWS, "ann"),
        lambda: records.page("done", 50, None, "ann"),
        lambda: records.failed_until(1e9, 0, 200),
    )
    for question in questions:
        assert question() == []
        sql, values = after_a_flood.asked
        plan = "\n".join(row[0] for row in after_a_flood.rows(f"EXPLAIN (ANALYZE, TIMING OFF) {sql}", values))
        assert "Rows Removed by Filter" not in plan, plan
        assert "Seq Scan on images" not in plan, plan

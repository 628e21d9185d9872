"""Records in one SQLite file: one connection, WAL, synced at each commit.

One connection in all, because SQLite before 3.51.3 has a WAL bug that needs two; one thread at a time, because a
deferred transaction that must wait for another fails instead of waiting; and first come, first served, because a lock
goes to whoever asks at the right moment: on a busy machine those who read again and again kept five that write waiting
for up to 4.5 s, and in turn it was 0.9 s at most, with three times as many writes. The counts are kept by triggers in
the same transaction as the change they count, so the status costs the same at ten records and at a million.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, astuple, fields
from pathlib import Path
from typing import Any

from imgpool.pool import Channel, ChannelTimeout
from imgpool.service.records import (
    Counts,
    ImageRecord,
    NewImage,
    Outcome,
    State,
    StoreError,
    StoreFull,
    columns,
    image_record,
)
from imgpool.service.schema import bring_up_to_date

BUSY_S = 2.0  # how long a change waits for another program that holds the file
QUEUE_S = 5.0  # how long a thread waits for the threads before it, each of which may wait for that long

_COLUMNS = columns(ImageRecord)
_ADD = (
    f"INSERT INTO images (state, {columns(NewImage)}) "  # noqa: S608 - constants
    f"VALUES ('queued', {', '.join('?' * len(fields(NewImage)))})"
)


class SQLiteRecords:
    """`Records` in the file `path`, made when it is not there. Holds the file open until `close`."""

    def __init__(self, path: Path) -> None:
        self._turn: Channel[None] = Channel(1, "records")  # holds one item: whoever has it may use the connection
        self._turn.send(None)
        try:
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_S)
        except sqlite3.Error as error:
            raise StoreError(f"{path} cannot be used: {error}") from error
        try:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            bring_up_to_date(self._db, str(path))
        except sqlite3.Error as error:
            self._db.close()
            raise StoreError(f"{path} cannot be used: {error}") from error
        except StoreError:
            self._db.close()
            raise

    @contextmanager
    def _held(self, timeout_s: float | None) -> Iterator[None]:
        """The connection. With a store that hangs nobody waits for all the others: the status page least of all."""
        try:
            self._turn.receive(timeout_s)
        except ChannelTimeout:
            raise StoreError(f"the record store was busy for {timeout_s:g} s") from None
        try:
            yield
        finally:
            self._turn.send(None)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._held(QUEUE_S):
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield self._db
                except BaseException:
                    self._db.execute("ROLLBACK")
                    raise
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                # A COMMIT that failed (disk full) leaves the transaction open: end it, or nothing ever begins again.
                if self._db_is_open() and self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise _failure(error) from error

    def _db_is_open(self) -> bool:
        try:
            self._db.total_changes  # noqa: B018 - raises when the connection is closed
        except sqlite3.ProgrammingError:
            return False
        return True

    def _read(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._held(QUEUE_S):
            try:
                return self._db.execute(sql, values).fetchall()
            except sqlite3.Error as error:
                raise _failure(error) from error

    def add(self, image: NewImage) -> None:
        """See `Records.add`."""
        with self._transaction() as db:
            db.execute(_ADD, astuple(image))

    def get(self, image_id: str) -> ImageRecord | None:
        """See `Records.get`."""
        rows = self._read(f"SELECT {_COLUMNS} FROM images WHERE id = ?", (image_id,))  # noqa: S608 - constants
        return _record(rows[0]) if rows else None

    def page(self, state: State | None, limit: int, before: int | None, owner: str | None = None) -> list[ImageRecord]:
        """See `Records.page`."""
        conditions, values = ["TRUE"], list[Any]()
        if owner is not None:
            conditions.append("owner = ?")
            values.append(owner)
        if state is not None:
            conditions.append("state = ?")
            values.append(state)
        if before is not None:
            conditions.append("sequence < ?")
            values.append(before)
        rows = self._read(
            f"SELECT {_COLUMNS} FROM images WHERE {' AND '.join(conditions)} "  # noqa: S608 - constants
            "ORDER BY sequence DESC LIMIT ?",
            [*values, limit],
        )
        return [_record(row) for row in rows]

    def counts(self) -> Counts:
        """See `Records.counts`."""
        return Counts(**dict(self._read("SELECT name, n FROM counts")))

    def begin(self, image_id: str, now: float) -> ImageRecord | None:
        """See `Records.begin`."""
        return self._begin(image_id, now, "queued")

    def begin_again(self, image_id: str, now: float) -> ImageRecord | None:
        """See `Records.begin_again`."""
        return self._begin(image_id, now, "processing")

    def _begin(self, image_id: str, now: float, state: State) -> ImageRecord | None:
        with self._transaction() as db:
            row = db.execute(
                "UPDATE images SET state = 'processing', attempts = attempts + 1, started_at = ? "  # noqa: S608 - constants
                f"WHERE id = ? AND state = ? RETURNING {_COLUMNS}",
                (now, image_id, state),
            ).fetchone()
        return _record(row) if row else None

    def finish(self, image_id: str, now: float, outcome: Outcome) -> bool:
        """See `Records.finish`."""
        with self._transaction() as db:
            changed = db.execute(
                "UPDATE images SET state = ?, finished_at = ?, wait_s = ?, service_s = ?, error = ?, variants = ?, "
                "format = coalesce(?, format), width = coalesce(?, width), height = coalesce(?, height) "
                "WHERE id = ? AND state = 'processing'",
                (
                    outcome.state,
                    now,
                    outcome.wait_s,
                    outcome.service_s,
                    outcome.error,
                    json.dumps([asdict(variant) for variant in outcome.variants]),
                    outcome.format,
                    outcome.width,
                    outcome.height,
                    image_id,
                ),
            ).rowcount
        return changed == 1

    def hand_back(self, image_id: str) -> bool:
        """See `Records.hand_back`."""
        with self._transaction() as db:
            changed = db.execute(
                "UPDATE images SET state = 'queued', attempts = attempts - 1, started_at = NULL "
                "WHERE id = ? AND state = 'processing'",
                (image_id,),
            ).rowcount
        return changed == 1

    def try_again(self, image_id: str) -> bool:
        """See `Records.try_again`."""
        with self._transaction() as db:
            changed = db.execute(
                "UPDATE images SET state = 'queued', attempts = 0, error = NULL, "
                "started_at = NULL, finished_at = NULL, wait_s = NULL, service_s = NULL "
                "WHERE id = ? AND state = 'failed'",
                (image_id,),
            ).rowcount
        return changed == 1

    def failed_until(self, moment: float, after: int, limit: int) -> list[tuple[int, str]]:
        """See `Records.failed_until`."""
        return [
            (int(sequence), str(image_id))
            for sequence, image_id in self._read(
                "SELECT sequence, id FROM images WHERE state = 'failed' AND sequence > ? AND finished_at <= ? "
                "ORDER BY sequence LIMIT ?",
                (after, moment, limit),
            )
        ]

    def recover(self, now: float, max_attempts: int) -> tuple[int, int]:
        """See `Records.recover`."""
        with self._transaction() as db:
            failed = db.execute(
                "UPDATE images SET state = 'failed', finished_at = ?, error = ? "
                "WHERE state = 'processing' AND attempts >= ?",
                (
                    now,
                    f"The server stopped while it processed this image, {max_attempts} times: "
                    "the image is taken to be the cause. Save it anew with an image editor and upload that.",
                    max_attempts,
                ),
            ).rowcount
            requeued = db.execute(
                "UPDATE images SET state = 'queued', started_at = NULL WHERE state = 'processing'"
            ).rowcount
        return requeued, failed

    def backlog(self, after: int, limit: int) -> list[tuple[int, str]]:
        """See `Records.backlog`."""
        return [
            (int(sequence), str(image_id))
            for sequence, image_id in self._read(
                "SELECT sequence, id FROM images WHERE state = 'queued' AND sequence > ? ORDER BY sequence LIMIT ?",
                (after, limit),
            )
        ]

    def last_sequence(self) -> int:
        """See `Records.last_sequence`."""
        rows = self._read("SELECT seq FROM sqlite_sequence WHERE name = 'images'")
        return int(rows[0][0]) if rows else 0

    def delete(self, image_id: str) -> bool:
        """See `Records.delete`."""
        with self._transaction() as db:
            return db.execute("DELETE FROM images WHERE id = ?", (image_id,)).rowcount == 1

    def finished_before(self, moment: float, limit: int) -> list[str]:
        """See `Records.finished_before`."""
        return [
            str(row[0])
            for row in self._read(
                "SELECT id FROM images WHERE finished_at < ? AND state IN ('done', 'failed') "
                "ORDER BY finished_at LIMIT ?",
                (moment, limit),
            )
        ]

    def known(self, image_ids: Iterable[str]) -> set[str]:
        """See `Records.known`."""
        rows = self._read(
            "SELECT id FROM images WHERE id IN (SELECT value FROM json_each(?))",
            (json.dumps(list(image_ids)),),
        )
        return {str(row[0]) for row in rows}

    def close(self) -> None:
        """See `Records.close`."""
        with self._held(None):
            self._db.close()


def _failure(error: sqlite3.Error) -> StoreError:
    full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    return (StoreFull if full else StoreError)(f"the record store failed: {error}")


def _record(row: Sequence[Any]) -> ImageRecord:
    """A row of `_COLUMNS`."""
    return image_record(row[:-1], json.loads(row[-1]))

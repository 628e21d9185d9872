"""Records in PostgreSQL, for any number of hosts and workers at once.

Each method is one statement; counts and places are kept by the database (`schema`), and attempts are fenced
(`attempts`). Never decides how many places there are, nor what is lost: `room` and `leftovers` do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, fields
from typing import Any, LiteralString

from imgpool.scaleout.attempts import Attempts
from imgpool.scaleout.database import ConnectionLost, Database
from imgpool.scaleout.leftovers import expire
from imgpool.scaleout.rows import COLUMNS, record, text
from imgpool.service.records import Counts, ImageRecord, NewImage, Outcome, State, StoreError, columns

SETTLED_S = 10.0  # several times as long as a statement may take

_ADD: LiteralString = (
    f"INSERT INTO images (state, {columns(NewImage)}) "  # noqa: S608 - constants
    f"VALUES ('queued', {', '.join(['%s'] * len(fields(NewImage)))})"
)


class PostgresRecords:
    """`Records` in an open `Database`. `worker` and `lease_s` are those of its `Attempts`."""

    def __init__(self, database: Database, *, worker: str, lease_s: float) -> None:
        self._database = database
        self._attempts = Attempts(database, worker=worker, lease_s=lease_s)
        self._doubtful: set[str] = set()

    def add(self, image: NewImage) -> None:
        """See `Records.add`. The slot of this ID becomes the image's place in the queue, in the same transaction. One
        that has lost its slot meanwhile gets another place, or `StoreError` when there is none.

        When the database goes away before it could answer, nobody knows whether the image was recorded: `StoreError`,
        and `settle` takes it back when the database is there again.
        """
        if image.id in self._doubtful:
            raise StoreError(f"nobody knows yet whether image {image.id} is recorded")
        values = astuple(image)
        try:
            self._database.change(_ADD, values)
        except ConnectionLost:
            self._doubtful.add(image.id)
            # Waits for the first one, if the server is still at it.
            self._database.change(f"{_ADD} ON CONFLICT (id) DO NOTHING", values)
            self._doubtful.discard(image.id)

    def settle(self) -> None:
        """Take back what `add` refused without knowing that it was recorded. To be called every few seconds by whoever
        adds, or such an image ends failed, its original being gone. Raises `StoreError`: then to be called again.
        """
        doubtful = set(self._doubtful)
        if not doubtful:
            return
        taken_back = self._database.rows(
            "DELETE FROM images WHERE id = ANY(%s) AND state = 'queued' RETURNING id", (list(doubtful),)
        )
        # A server that was frozen may do what it was asked a moment after it answers again.
        all_is_known = self._database.answers_for_s() > SETTLED_S
        self._doubtful -= doubtful if all_is_known else {str(image_id) for (image_id,) in taken_back}

    def get(self, image_id: str) -> ImageRecord | None:
        """See `Records.get`."""
        rows = self._database.rows(f"SELECT {COLUMNS} FROM images WHERE id = %s", (text(image_id),))  # noqa: S608 - constants
        return record(rows[0]) if rows else None

    def page(self, state: State | None, limit: int, before: int | None, owner: str | None = None) -> list[ImageRecord]:
        """See `Records.page`."""
        key = [(name, text(value)) for name, value in (("owner", owner), ("state", state)) if value is not None]
        names, values = ", ".join(name for name, _ in key), [value for _, value in key]
        marks = ", ".join(["%s"] * len(key))
        # A range of one value, and ordered by it, too: see `backlog`.
        conditions = f"({names}) >= ({marks}) AND ({names}) <= ({marks})" if key else "TRUE"
        given: list[Any] = [*values, *values]
        if owner is not None:
            conditions += " AND owner IS NOT NULL"  # as the index says
        if before is not None:
            conditions += f" AND ({names}, sequence) < ({marks}, %s)" if key else " AND sequence < %s"
            given += [*values, before]
        order = ", ".join(f"{name} DESC" for name in (*(name for name, _ in key), "sequence"))
        rows = self._database.rows(
            f"SELECT {COLUMNS} FROM images WHERE {conditions} ORDER BY {order} LIMIT %s",  # noqa: S608 - constants
            [*given, limit],
        )
        return [record(row) for row in rows]

    def counts(self) -> Counts:
        """See `Records.counts`."""
        ((*counts,),) = self._database.rows(
            "SELECT sum(accepted), sum(queued), sum(processing), sum(done), sum(failed), sum(deleted) FROM counts"
        )
        return Counts(*(int(count) for count in counts))

    def begin(self, image_id: str, now: float) -> ImageRecord | None:
        """See `Attempts.begin`."""
        return self._attempts.begin(image_id, now)

    def begin_again(self, image_id: str, now: float) -> ImageRecord | None:
        """See `Attempts.begin_again`."""
        return self._attempts.begin_again(image_id, now)

    def keep(self) -> set[str]:
        """See `Attempts.keep`."""
        return self._attempts.keep()

    def finish(self, image_id: str, now: float, outcome: Outcome) -> bool:
        """See `Attempts.finish`."""
        return self._attempts.finish(image_id, now, outcome)

    def hand_back(self, image_id: str) -> bool:
        """See `Attempts.hand_back`."""
        return self._attempts.hand_back(image_id)

    def try_again(self, image_id: str) -> bool:
        """See `Records.try_again`. The slot of this ID becomes its place, as with `add`."""
        changed = self._database.change(
            "UPDATE images SET state = 'queued', attempts = 0, error = NULL, started_at = NULL, finished_at = NULL, "
            "wait_s = NULL, service_s = NULL, sent_at = clock_timestamp(), sendings = 1 "
            "WHERE id = %s AND state = 'failed'",
            (text(image_id),),
        )
        return changed == 1

    def failed_until(self, moment: float, after: int, limit: int) -> list[tuple[int, str]]:
        """See `Records.failed_until`."""
        return [
            (int(sequence), str(image_id))
            for sequence, image_id in self._database.rows(
                "SELECT sequence, id FROM images WHERE (state, sequence) > ('failed', %s) AND state <= 'failed' "
                "AND finished_at <= %s ORDER BY state, sequence LIMIT %s",
                (after, moment, limit),
            )
        ]

    def recover(self, now: float, max_attempts: int) -> tuple[int, int]:
        """See `Records.recover`: nobody may be processing anything. While others do, `Leftovers.expire` is right."""
        return expire(self._database, now, max_attempts, "TRUE")

    def backlog(self, after: int, limit: int) -> list[tuple[int, str]]:
        """See `Records.backlog`."""
        # With `state = 'queued' ORDER BY sequence`, PostgreSQL may read all images by their sequence and drop
        # those that are not queued. It does so where it remembers a moment at which most of them were: after a flood.
        # Asked for a range, and for its order, it can only use the index that begins with the state.
        return [
            (int(sequence), str(image_id))
            for sequence, image_id in self._database.rows(
                "SELECT sequence, id FROM images WHERE (state, sequence) > ('queued', %s) AND state <= 'queued' "
                "ORDER BY state, sequence LIMIT %s",
                (after, limit),
            )
        ]

    def last_sequence(self) -> int:
        """See `Records.last_sequence`."""
        ((last,),) = self._database.rows("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM images_sequence")
        return int(last)

    def delete(self, image_id: str) -> bool:
        """See `Records.delete`."""
        return self._database.change("DELETE FROM images WHERE id = %s", (text(image_id),)) == 1

    def finished_before(self, moment: float, limit: int) -> list[str]:
        """See `Records.finished_before`."""
        return [
            str(image_id)
            for (image_id,) in self._database.rows(
                "SELECT id FROM images WHERE finished_at < %s AND state IN ('done', 'failed') "
                "ORDER BY finished_at LIMIT %s",
                (moment, limit),
            )
        ]

    def known(self, image_ids: Iterable[str]) -> set[str]:
        """See `Records.known`."""
        asked = [text(image_id) for image_id in image_ids]
        return {
            str(image_id) for (image_id,) in self._database.rows("SELECT id FROM images WHERE id = ANY(%s)", (asked,))
        }

    def close(self) -> None:
        """See `Records.close`. Closes the database, also for others who use it."""
        self._database.close()

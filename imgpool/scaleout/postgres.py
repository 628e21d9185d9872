"""Records in PostgreSQL, for any number of hosts and workers at once.

Each method is one statement; counts and places are kept by the database (`schema`). An attempt is fenced: only the
object that began it may end it, and only while nobody else began another. So a worker that was thought lost and comes
back changes nothing. Never decides how many places there are, nor what is lost: `room` and `leftovers` do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any, LiteralString

from psycopg.types.json import Jsonb

from imgpool.scaleout.database import ConnectionLost, Database, once_more
from imgpool.scaleout.leftovers import expire
from imgpool.service.records import Counts, ImageRecord, NewImage, Outcome, State, StoreError, VariantRecord

SETTLED_S = 10.0  # several times as long as a statement may take

COLUMNS: LiteralString = (
    "id, sequence, name, state, bytes, format, width, height, received_at, started_at, finished_at, "
    "wait_s, service_s, attempts, error, owner, variants"
)
_ADD: LiteralString = (
    "INSERT INTO images (id, name, state, bytes, format, width, height, received_at, owner) "
    "VALUES (%s, %s, 'queued', %s, %s, %s, %s, %s, %s)"
)
# Attempts that were made here, and the images that still say so: IDs, attempts, this worker.
_HELD: LiteralString = "unnest(%s::text[], %s::int[]) AS held (id, attempt)"
_OURS: LiteralString = "images.id = held.id AND images.attempts = held.attempt AND images.worker = %s"


class PostgresRecords:
    """`Records` in an open `Database`. `worker` is the name under which this process begins images; no other process,
    and none later on this host, has the same. What it began is its own for `lease_s`, and for as long again after
    each `keep`.
    """

    def __init__(self, database: Database, *, worker: str, lease_s: float) -> None:
        self._database = database
        self._worker = worker
        self._lease_s = lease_s
        self._doubtful: set[str] = set()
        self._attempts: dict[str, int] = {}  # what was begun here and has not ended, and which attempt it is

    def add(self, image: NewImage) -> None:
        """See `Records.add`. The slot of this ID becomes the image's place in the queue, in the same transaction. One
        that has lost its slot meanwhile gets another place, or `StoreError` when there is none.

        When the database goes away before it could answer, nobody knows whether the image was recorded: `StoreError`,
        and `settle` takes it back when the database is there again.
        """
        if image.id in self._doubtful:
            raise StoreError(f"nobody knows yet whether image {image.id} is recorded")
        values = (
            image.id,
            image.name,
            image.bytes,
            image.format,
            image.width,
            image.height,
            image.received_at,
            image.owner,
        )
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
        rows = self._database.rows(f"SELECT {COLUMNS} FROM images WHERE id = %s", (_text(image_id),))  # noqa: S608 - constants
        return _record(rows[0]) if rows else None

    def page(self, state: State | None, limit: int, before: int | None, owner: str | None = None) -> list[ImageRecord]:
        """See `Records.page`."""
        key = [(name, _text(value)) for name, value in (("owner", owner), ("state", state)) if value is not None]
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
        return [_record(row) for row in rows]

    def counts(self) -> Counts:
        """See `Records.counts`."""
        ((*counts,),) = self._database.rows(
            "SELECT sum(accepted), sum(queued), sum(processing), sum(done), sum(failed), sum(deleted) FROM counts"
        )
        return Counts(*(int(count) for count in counts))

    def begin(self, image_id: str, now: float) -> ImageRecord | None:
        """See `Records.begin`. It frees a place. A crash of this process does not undo it; a crash of the database
        within half a second may: then the image is queued again and the attempt was not counted.
        """
        return self._begun(
            "UPDATE images SET state = 'processing', attempts = attempts + 1, started_at = %s, worker = %s, "  # noqa: S608 - constants
            "lease_until = clock_timestamp() + %s * interval '1 second' "
            f"WHERE id = %s AND state = 'queued' RETURNING {COLUMNS}",
            (now, self._worker, self._lease_s, _text(image_id)),
        )

    def begin_again(self, image_id: str, now: float) -> ImageRecord | None:
        """See `Records.begin_again`. None also when the attempt before was not made here, or was given to another."""
        return self._begun(
            "UPDATE images SET attempts = attempts + 1, started_at = %s, "  # noqa: S608 - constants
            "lease_until = clock_timestamp() + %s * interval '1 second' "
            f"WHERE id = %s AND state = 'processing' AND worker = %s AND attempts = %s RETURNING {COLUMNS}",
            (now, self._lease_s, _text(image_id), self._worker, self._attempts.get(image_id)),
        )

    def _begun(self, sql: LiteralString, values: Sequence[Any]) -> ImageRecord | None:
        rows = self._database.rows(sql, values)
        if not rows:
            return None
        record = _record(rows[0])
        self._attempts[record.id] = record.attempts
        return record

    def keep(self) -> set[str]:
        """Extend the leases of all that was begun here and has not ended; returns the IDs that are no longer ours
        (taken to be lost, or deleted), once each: the work on them is for nothing. To be called several times in each
        `lease_s`.
        """
        held = dict(self._attempts)
        if not held:
            return set()
        kept = {
            str(image_id)
            for (image_id,) in self._database.rows(
                "UPDATE images SET lease_until = clock_timestamp() + %s * interval '1 second' "  # noqa: S608 - constants
                f"FROM {_HELD} WHERE {_OURS} AND state = 'processing' RETURNING images.id",
                (self._lease_s, *self._these(held)),
            )
        }
        if len(kept) == len(held):
            return set()
        ended = self._ended(held)  # in this moment, by another thread
        lost = set(held) - kept - ended
        for image_id in lost:
            self._attempts.pop(image_id, None)
        return lost

    def _ended(self, held: dict[str, int]) -> set[str]:
        """Those of the attempts that were ended by themselves."""
        return {
            str(image_id)
            for (image_id,) in self._database.rows(
                f"SELECT images.id FROM images, {_HELD} WHERE {_OURS} AND state IN ('done', 'failed')",  # noqa: S608 - constants
                self._these(held),
            )
        }

    def _these(self, held: dict[str, int]) -> tuple[Any, ...]:
        return (list(held), list(held.values()), self._worker)

    def finish(self, image_id: str, now: float, outcome: Outcome) -> bool:
        """See `Records.finish`. False also when the attempt was not made here, or the image was given to another."""
        attempt = self._attempts.get(image_id)
        values = (
            "done" if outcome.error is None else "failed",
            now,
            outcome.wait_s,
            outcome.service_s,
            outcome.error and outcome.error.replace("\0", "\ufffd"),
            Jsonb([asdict(variant) for variant in outcome.variants]),
            outcome.format,
            outcome.width,
            outcome.height,
            _text(image_id),
            self._worker,
            attempt,
        )

        def finish() -> bool:
            changed = self._database.change(
                "UPDATE images SET state = %s, finished_at = %s, wait_s = %s, service_s = %s, error = %s, "
                "variants = %s, format = coalesce(%s, format), width = coalesce(%s, width), "
                "height = coalesce(%s, height), lease_until = NULL "
                "WHERE id = %s AND worker = %s AND attempts = %s AND state = 'processing'",
                values,
            )
            # Or it has ended by this very attempt, whose answer was lost. Once an answer came, the attempt is forgotten
            # here, and nobody ends it twice.
            return changed == 1 or (attempt is not None and bool(self._ended({image_id: attempt})))

        finished = once_more(finish, finish)
        self._attempts.pop(image_id, None)
        return finished

    def hand_back(self, image_id: str) -> bool:
        """See `Records.hand_back`. It takes a place, even when there is none left. Its ID is due to be sent again."""
        changed = self._database.change(
            "UPDATE images SET state = 'queued', attempts = attempts - 1, started_at = NULL, lease_until = NULL, "
            "worker = NULL, sent_at = NULL WHERE id = %s AND state = 'processing' AND worker = %s AND attempts = %s",
            (_text(image_id), self._worker, self._attempts.get(image_id)),
        )
        self._attempts.pop(image_id, None)
        return changed == 1

    def try_again(self, image_id: str) -> bool:
        """See `Records.try_again`. The slot of this ID becomes its place, as with `add`."""
        changed = self._database.change(
            "UPDATE images SET state = 'queued', attempts = 0, error = NULL, started_at = NULL, finished_at = NULL, "
            "wait_s = NULL, service_s = NULL, sent_at = clock_timestamp(), sendings = 1 "
            "WHERE id = %s AND state = 'failed'",
            (_text(image_id),),
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
        return self._database.change("DELETE FROM images WHERE id = %s", (_text(image_id),)) == 1

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
        asked = [_text(image_id) for image_id in image_ids]
        return {
            str(image_id) for (image_id,) in self._database.rows("SELECT id FROM images WHERE id = ANY(%s)", (asked,))
        }

    def close(self) -> None:
        """See `Records.close`. Closes the database, also for others who use it."""
        self._database.close()


def _text(given: str) -> str:
    """PostgreSQL takes no text with NUL or half a surrogate pair, and nothing is known by such a name."""
    try:
        given.encode()
    except UnicodeEncodeError:
        return ""
    return "" if "\0" in given else given


def _record(row: Sequence[Any]) -> ImageRecord:
    """A row of `COLUMNS`, which are the record's fields in their order; the last one is JSON."""
    return ImageRecord(*row[:-1], tuple(VariantRecord(**variant) for variant in row[-1]))  # type: ignore[call-arg]  # as in sqlite.py

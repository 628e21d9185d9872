"""The attempts at images that this process makes: begun, kept alive and ended in PostgreSQL.

Each is fenced: only the object that began an attempt may end it, and only while nobody else began another. So a worker
that was thought lost and comes back changes nothing. Owns which attempts are under way here; never decides what is
lost: `leftovers` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, LiteralString

from psycopg.types.json import Jsonb

from imgpool.scaleout.database import Database, once_more
from imgpool.scaleout.rows import COLUMNS, record, text
from imgpool.service.records import ImageRecord, Outcome

# Attempts that were made here, and the images that still say so: IDs, attempts, this worker.
_HELD: LiteralString = "unnest(%s::text[], %s::int[]) AS held (id, attempt)"
_OURS: LiteralString = "images.id = held.id AND images.attempts = held.attempt AND images.worker = %s"


class Attempts:
    """`worker` is the name under which this process begins images; no other process, and none later on this host, has
    the same. What it began is its own for `lease_s`, and for as long again after each `keep`.

    Any thread may call any method; each blocks on the database and raises `StoreError`.
    """

    def __init__(self, database: Database, *, worker: str, lease_s: float) -> None:
        self._database = database
        self._worker = worker
        self._lease_s = lease_s
        self._made: dict[str, int] = {}  # what was begun here and has not ended, and which attempt it is

    def begin(self, image_id: str, now: float) -> ImageRecord | None:
        """See `Records.begin`. None also while the workers of all hosts are paused. It frees a place. A crash of this
        process does not undo it; a crash of the database within half a second may: then the image is queued again and
        the attempt was not counted.
        """
        return self._begun(
            "UPDATE images SET state = 'processing', attempts = attempts + 1, started_at = %s, worker = %s, "  # noqa: S608 - constants
            "lease_until = clock_timestamp() + %s * interval '1 second' "
            f"WHERE id = %s AND state = 'queued' AND NOT (SELECT paused FROM room) RETURNING {COLUMNS}",
            (now, self._worker, self._lease_s, text(image_id)),
        )

    def begin_again(self, image_id: str, now: float) -> ImageRecord | None:
        """See `Records.begin_again`. None also when the attempt before was not made here, or was given to another."""
        return self._begun(
            "UPDATE images SET attempts = attempts + 1, started_at = %s, "  # noqa: S608 - constants
            "lease_until = clock_timestamp() + %s * interval '1 second' "
            f"WHERE id = %s AND state = 'processing' AND worker = %s AND attempts = %s RETURNING {COLUMNS}",
            (now, self._lease_s, text(image_id), self._worker, self._made.get(image_id)),
        )

    def _begun(self, sql: LiteralString, values: Sequence[Any]) -> ImageRecord | None:
        rows = self._database.rows(sql, values)
        if not rows:
            return None
        begun = record(rows[0])
        self._made[begun.id] = begun.attempts
        return begun

    def keep(self) -> set[str]:
        """Extend the leases of all that was begun here and has not ended; returns the IDs that are no longer ours
        (taken to be lost, or deleted), once each: the work on them is for nothing. To be called several times in each
        `lease_s`.
        """
        held = dict(self._made)
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
            self._made.pop(image_id, None)
        return lost

    def finish(self, image_id: str, now: float, outcome: Outcome) -> bool:
        """See `Records.finish`. False also when the attempt was not made here, or the image was given to another."""
        attempt = self._made.get(image_id)
        values = (
            outcome.state,
            now,
            outcome.wait_s,
            outcome.service_s,
            outcome.error and outcome.error.replace("\0", "\ufffd"),
            Jsonb([asdict(variant) for variant in outcome.variants]),
            outcome.format,
            outcome.width,
            outcome.height,
            text(image_id),
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
        self._made.pop(image_id, None)
        return finished

    def hand_back(self, image_id: str) -> bool:
        """See `Records.hand_back`. It takes a place, even when there is none left. Its ID is due to be sent again."""
        changed = self._database.change(
            "UPDATE images SET state = 'queued', attempts = attempts - 1, started_at = NULL, lease_until = NULL, "
            "worker = NULL, sent_at = NULL WHERE id = %s AND state = 'processing' AND worker = %s AND attempts = %s",
            (text(image_id), self._worker, self._made.get(image_id)),
        )
        self._made.pop(image_id, None)
        return changed == 1

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

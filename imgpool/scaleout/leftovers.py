"""What crashes leave behind, found by time: leases that nobody extends, and image IDs that no worker has seen.

Every host and worker may look, at the same time as others: each leftover is taken by one of them. So that hundreds do
not, one takes its turn for all.
A database that was away says nothing about who was at work meanwhile: no lease is ended before it has answered for as
long as a lease lasts, so that those who live have extended theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import LiteralString

from imgpool.scaleout.database import Database

MOST_DOUBLINGS = 6

# Workers live, none has anything to do, and nothing ended for so many seconds: no message is on its way to them.
_IDLE: LiteralString = (
    "(SELECT EXISTS (SELECT FROM members WHERE kind = 'worker' AND seen_at > now() - %s * interval '1 second') "
    "AND NOT EXISTS (SELECT FROM images WHERE state BETWEEN 'processing' AND 'processing') "
    "AND coalesce((SELECT max(finished_at) FROM images), 0) < extract(epoch FROM now()) - %s)"
)


@dataclass(frozen=True, slots=True)
class Expired:
    """How many images went back into the queue or failed, and how many slots were given back."""

    requeued: int
    failed: int
    slots: int


class Leftovers:
    """Any thread may call any method; each blocks on the database and raises `StoreError`."""

    def __init__(self, database: Database, *, lease_s: float) -> None:
        self._database = database
        self._lease_s = lease_s

    def take_turn(self, what: str, every_s: float) -> bool:
        """Whether the caller is to do it now: of all that ask, one in each `every_s`. Nobody waits for another, and a
        turn holds nothing: if its taker dies, the next one comes all the same. `what` is a row of `turns`.
        """
        return bool(
            self._database.change(
                "UPDATE turns SET taken_at = clock_timestamp() WHERE what = (SELECT what FROM turns WHERE what = %s "
                "AND taken_at < clock_timestamp() - %s * interval '1 second' FOR UPDATE SKIP LOCKED)",
                (what, every_s),
            )
        )

    def expire(self, now: float, max_attempts: int) -> Expired:
        """End the leases that were not extended in time. An image whose worker is lost is queued again, and its ID is
        due to be sent, or it failed at `now` if this was the last of its attempts; a slot is given back.
        """
        if self._database.answers_for_s() < self._lease_s:
            self._database.rows("SELECT 1")  # or nobody might notice that it is back
            return Expired(0, 0, 0)
        requeued, failed = expire(self._database, now, max_attempts, "lease_until < clock_timestamp()")
        with self._database.connection() as connection, connection.transaction():
            connection.execute("SELECT set_config('synchronous_commit', 'off', TRUE) FROM room FOR UPDATE")
            slots = connection.execute(
                "DELETE FROM slots WHERE image_id IN ("
                "SELECT image_id FROM slots WHERE expires_at < clock_timestamp() FOR UPDATE SKIP LOCKED)"
            ).rowcount
            connection.execute("UPDATE room SET taken = taken - %s", (slots,))
        return Expired(requeued, failed, slots)

    def due(self, after_s: float, limit: int) -> list[str]:
        """IDs, oldest first, of at most `limit` queued images that have to be sent (again), each counted as sent now.

        These are the ones that went back into the queue, and those that were sent longer than `after_s` ago and nobody
        has begun: twice as long each time, since a queue may just be long, unless the workers wait for something to do.
        Who fails to send them finds them again.
        """
        rows = self._database.rows(
            "UPDATE images SET sent_at = clock_timestamp(), sendings = sendings + 1 WHERE id = ANY(ARRAY("  # noqa: S608 - constants
            "SELECT id FROM images WHERE state BETWEEN 'queued' AND 'queued' AND (sent_at IS NULL OR "
            "sent_at < clock_timestamp() - %s * interval '1 second' "
            f"* (1 << CASE WHEN {_IDLE} THEN 0 ELSE least(sendings - 1, %s) END)) "
            "ORDER BY state, sequence LIMIT %s FOR UPDATE SKIP LOCKED)) "  # as in PostgresRecords.backlog
            "RETURNING sequence, id",
            (after_s, after_s, after_s, MOST_DOUBLINGS, limit),
        )
        return [str(image_id) for _, image_id in sorted(rows)]


def expire(database: Database, now: float, max_attempts: int, condition: LiteralString) -> tuple[int, int]:
    """Take the processing images that meet the condition to be lost: queued again, or failed when that was the last
    attempt. Returns how many of each. Those that are just being ended by somebody are left to him.
    """
    with database.connection() as connection, connection.transaction():
        states = connection.execute(
            "UPDATE images SET "  # noqa: S608 - constants
            "state = CASE WHEN attempts < %(most)s THEN 'queued' ELSE 'failed' END, "
            "started_at = CASE WHEN attempts < %(most)s THEN NULL ELSE started_at END, "
            "finished_at = CASE WHEN attempts < %(most)s THEN NULL ELSE %(now)s END, "
            "error = CASE WHEN attempts < %(most)s THEN NULL ELSE %(error)s END, "
            "worker = NULL, lease_until = NULL, sent_at = NULL "  # no worker: the lost one cannot end it any more
            "WHERE id = ANY(ARRAY(SELECT id FROM images "
            f"WHERE state = 'processing' AND {condition} FOR UPDATE SKIP LOCKED)) RETURNING state",
            {
                "most": max_attempts,
                "now": now,
                "error": f"The worker that processed this image was lost, {max_attempts} times: "
                "the image is taken to be the cause. Save it anew with an image editor and upload that.",
            },
        ).fetchall()
    requeued = sum(state == "queued" for (state,) in states)
    return requeued, len(states) - requeued

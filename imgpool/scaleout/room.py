"""The room in the queue, one for all hosts: how many images may be queued or on their way in.

A slot is a place held for one image ID. PostgreSQL decides in one statement whether there is one; recording the image
turns its slot into its place (`schema`). So the bound holds whatever hosts crash, stall or start. Slots are leased: a
host that holds some must `keep` them.

A place is taken without waiting for the disk: if the database crashes before it has it, the slot is gone, and the
upload that held it gets another one when it ends, or a refusal.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from imgpool.scaleout.database import Database, NotUnique

MOST_HOSTS = 1000  # whose setting is remembered


@dataclass(frozen=True, slots=True)
class RoomStatistics:
    """One moment. `reserved + queued <= capacity`, unless the capacity was made smaller, or workers gave images back
    whose places were taken meanwhile.
    """

    capacity: int
    reserved: int  # slots granted and neither used nor given back
    queued: int  # images
    paused: bool


class Room:
    """`host` is the name under which this process holds slots. Any thread may call any method; each blocks on the
    database and raises `StoreError`.
    """

    def __init__(self, database: Database, *, host: str, lease_s: float) -> None:
        self._database = database
        self._host = host
        self._lease_s = lease_s

    def configure(self, host: str, capacity: int) -> None:
        """Take the capacity from the setting with which `host` starts, a name that it has again at its next start;
        unless it was started with the same before. So a start undoes neither what people have steered meanwhile, nor
        the setting of another host that is newer: of hosts that disagree the newest setting counts, once. One that
        `MOST_HOSTS` others were started after is as new again.
        """
        with self._database.connection() as connection, connection.transaction():
            connection.execute("SELECT FROM room FOR UPDATE")
            before = connection.execute("SELECT capacity FROM capacities WHERE host = %s", (host,)).fetchone()
            connection.execute(
                "INSERT INTO capacities (host, capacity) VALUES (%s, %s) ON CONFLICT (host) DO UPDATE "
                "SET capacity = excluded.capacity, started_at = clock_timestamp()",
                (host, capacity),
            )
            connection.execute(
                "DELETE FROM capacities WHERE host IN (SELECT host FROM capacities ORDER BY started_at DESC OFFSET %s)",
                (MOST_HOSTS,),
            )
            if before != (capacity,):
                connection.execute(
                    "UPDATE room SET capacity = %s, configured = %s WHERE configured IS DISTINCT FROM %s",
                    (capacity, capacity, capacity),
                )

    def reserve(self, image_id: str) -> bool:
        """Hold a place for this image, for `lease_s`. False when none is left, or one is held for it already."""
        try:
            rows = self._database.rows(
                "WITH place AS (UPDATE room SET taken = taken + 1 WHERE taken < capacity RETURNING 1) "
                "INSERT INTO slots (image_id, host, expires_at) "
                "SELECT %s, %s, clock_timestamp() + %s * interval '1 second' "
                "FROM place, set_config('synchronous_commit', 'off', TRUE) RETURNING image_id",
                (image_id, self._host, self._lease_s),
            )
        except NotUnique:
            return False
        return bool(rows)

    def take_over(self, image_id: str) -> bool:
        """Hold the place that is held for this image already, by whichever host, for `lease_s`. False when none is."""
        return bool(
            self._database.change(
                "UPDATE slots SET host = %s, expires_at = clock_timestamp() + %s * interval '1 second' "
                "WHERE image_id = %s",
                (self._host, self._lease_s, image_id),
            )
        )

    def release(self, image_id: str) -> bool:
        """Give the place back; False when it is not held (any more), or has become the image's."""
        with self._database.connection() as connection, connection.transaction():
            connection.execute("SELECT set_config('synchronous_commit', 'off', TRUE) FROM room FOR UPDATE")
            gone = connection.execute("DELETE FROM slots WHERE image_id = %s AND host = %s", (image_id, self._host))
            connection.execute("UPDATE room SET taken = taken - %s", (gone.rowcount,))
        return gone.rowcount == 1

    def keep(self, image_ids: Collection[str]) -> None:
        """Extend the leases of these slots. To be called several times in each `lease_s`."""
        if image_ids:
            self._database.change(
                "UPDATE slots SET expires_at = clock_timestamp() + %s * interval '1 second' "
                "WHERE image_id = ANY(%s) AND host = %s",
                (self._lease_s, list(image_ids), self._host),
            )

    def statistics(self) -> RoomStatistics:
        """How it stands."""
        ((capacity, reserved, queued, paused),) = self._database.rows(
            "SELECT capacity, slots.held, taken - slots.held, paused "
            "FROM room, (SELECT count(*)::int AS held FROM slots) AS slots"
        )
        return RoomStatistics(capacity, reserved, queued, paused)

    def set_capacity(self, places: int) -> None:
        """Have so many places, on all hosts. What is queued or reserved beyond them stays."""
        self._database.change("UPDATE room SET capacity = %s", (places,))

    def set_paused(self, paused: bool) -> None:
        """Whether workers are to begin images, on all hosts."""
        self._database.change("UPDATE room SET paused = %s", (paused,))

    def paused(self) -> bool:
        """Whether a worker must not begin an image now."""
        ((paused,),) = self._database.rows("SELECT paused FROM room")
        return bool(paused)

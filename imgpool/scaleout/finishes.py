"""Which images ended lately, wherever they were processed: so that each web host can tell of rates and times of all.

Never more than a look at the newest `MOST` of them; who wants exact totals asks the records' counts.
"""

from __future__ import annotations

from imgpool.scaleout.database import Database
from imgpool.service.measures import Measures

MOST = 1000
OVERLAP_S = 10.0  # the hosts' clocks differ, and an end may be told before its transaction is there


class Finishes:
    """For one thread. Told once each, from the first `tell` on."""

    def __init__(self, database: Database, measures: Measures) -> None:
        self._database, self._measures = database, measures
        self._told: dict[tuple[str, float], None] | None = None
        self._until = 0.0

    def tell(self) -> None:
        """Tell the measures what has ended since the last call. Blocks; raises `StoreError`."""
        rows = self._database.rows(
            "SELECT id, finished_at, state = 'done', wait_s, service_s FROM images WHERE finished_at > %s "
            "ORDER BY finished_at DESC LIMIT %s",
            (self._until - OVERLAP_S, MOST),
        )
        told = self._told
        self._told = {(image_id, finished_at): None for image_id, finished_at, *_ in rows}
        self._until = max((finished_at for _, finished_at, *_ in rows), default=self._until)
        if told is None:
            return  # all that ended before this host began
        for image_id, finished_at, done, wait_s, service_s in reversed(rows):
            if (image_id, finished_at) not in told:
                self._measures.finished(done=done, wait_s=wait_s, service_s=service_s)

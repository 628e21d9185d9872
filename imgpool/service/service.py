"""The heart: everything that a front (web page, API, another protocol) may ask for.

Owns nothing of its own: each answer is a part's, and the parts are its `Life`'s. Knows nothing of HTTP.
"""

from __future__ import annotations

import secrets
import time

from imgpool.errors import NoRoom, Refused
from imgpool.service.engine import looked
from imgpool.service.history import Sample
from imgpool.service.life import Life
from imgpool.service.records import ImageRecord, State
from imgpool.service.retention import delete_image
from imgpool.service.status import Memory, Status
from imgpool.service.upload import Upload

PLACES = 1000


class Service(Life):
    """Any thread may call any method, from `start` until `stop`; those of the records from `open` on."""

    # Admission

    @property
    def accepting(self) -> bool:
        """Whether it has started and does not stop yet."""
        return self._door.is_open

    def admit_at_once(self) -> Upload | None:
        """As `admit`, and never blocks: None where that would, because another machine has to be asked."""
        if not self._running().asks_others:
            return self.admit()
        self._door.refuse_what_is_known()
        return None

    def admit(self) -> Upload:
        """A slot, at once, before a byte of the body is read. Blocks on nothing, unless the engine asks others.

        Raises `Draining`, `DiskFull`, `NoRoom` or `StoreFailed`. The caller ends the `Upload`: `accept` or `discard`.
        """
        image_id = secrets.token_hex(16)
        return self._upload(image_id, self._door.reserve(image_id))

    def count_accepted(self) -> None:
        """Count an upload that was accepted; the front that took it calls this once."""
        self.measures.accepted()

    def count_refused(self, refusal: Refused) -> None:
        """Count an upload that was turned away; the front that turned it away calls this once."""
        self._count(refusal)

    def retry_after_s(self, ahead: int) -> int:
        """When to come back, as `Measures.retry_after_s` says, for one who waits for `ahead` images."""
        return self.measures.retry_after_s(ahead)

    @property
    def queue_capacity(self) -> int:
        """Places in the queue now."""
        return self._running().statistics().jobs.capacity

    # What is known

    def get(self, image_id: str) -> ImageRecord | None:
        """The record of an image, or None. Raises `StoreError`, or `Draining` before the start."""
        return self.records.get(image_id)

    def page(self, state: State | None, limit: int, before: int | None, owner: str | None = None) -> list[ImageRecord]:
        """At most `limit` records, newest first, older than sequence `before`; all, or those of one owner.
        Raises as `get`.
        """
        return self.records.page(state, limit, before, owner)

    def places(self) -> dict[str, int]:
        """The place in the queue, from 1, of each queued image; of the first `PLACES` ones. Raises as `get`."""
        backlog = self.records.backlog(0, PLACES)
        return {image_id: place for place, (_, image_id) in enumerate(backlog, start=1)}

    def status(self) -> Status:
        """One snapshot, at the same cost with a million records as with ten. Raises `StoreError`, `Draining`."""
        engine = self._running()
        statistics = looked(engine)
        jobs = statistics.jobs
        now = time.monotonic()
        refusal = self._door.refusal()
        full = jobs.buffered + jobs.reserved >= jobs.capacity
        return Status(
            accepting=refusal is None and not full,
            reason=refusal.reason if refusal else NoRoom.reason if full else None,
            workers=statistics.workers,
            busy=statistics.busy,
            lanes=engine.lanes(),
            queue=jobs,
            results=statistics.results,
            memory=Memory.of(self.workshop.budget, statistics.weights),
            peers=engine.peers(),
            oldest_wait_s=self._oldest_wait_s(),
            counts=self.records.counts(),
            measured=self.measures.snapshot(),
            wait_estimate_s=(
                None if statistics.paused else self.measures.estimate_wait_s(jobs.buffered + jobs.reserved)
            ),
            unfinished=self.uploads.standing(),
            paused=statistics.paused,
            retrying=self.retries.retrying(),
            most_workers=engine.most_workers,
            free_bytes=self._door.free_bytes(),
            uptime_s=now - self._started_at,
        )

    def _oldest_wait_s(self) -> float:
        """How long ago the oldest queued image came; 0 when none is queued."""
        for _, image_id in self.records.backlog(0, 1):
            if (oldest := self.records.get(image_id)) is not None:
                return max(0.0, self._clock.now() - oldest.received_at)
        return 0.0

    def samples(self, since: float) -> list[Sample]:
        """Those of the last five minutes that were taken after a moment (since the epoch). Raises `Draining`."""
        return self.history.since(since)

    # Removal

    def delete(self, image_id: str) -> bool:
        """Forget an image with its original and variants; False when there is none.

        Raises as `get`, and `StoreFailed` when the disk does not let go of the files: then it can be asked again.
        """
        return delete_image(self.stores, image_id)

    def prune(self, older_than_s: float) -> int:
        """Delete the images that finished longer ago than this; returns how many. Blocks; ends early when the server
        stops. What the disk does not let go of is left for another time. Raises `StoreError`.
        """
        return self._made_retention().prune(older_than_s)

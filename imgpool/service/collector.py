"""The collector: takes results off the results channel and records what became of each image.

It alone writes `done` and `failed`. Owns its thread. While the store is away it waits, so the channel fills, workers
wait, and admission says no: nothing is lost, and nothing piles up.
"""

from __future__ import annotations

import logging
import threading

from imgpool.errors import JobCancelled
from imgpool.pool import Channel, Context, Result
from imgpool.service.attempt import Attempted, retried
from imgpool.service.clock import Clock
from imgpool.service.measures import Measures
from imgpool.service.records import Records, StoreError
from imgpool.service.stores import Stores

log = logging.getLogger(__name__)


class Collector:
    """Works from `start` until `results` is closed and empty; `join` waits for that. Waits for the store no longer than
    until `stopping` is done: then an image stays `processing`, or is handed back.
    """

    def __init__(
        self,
        results: Channel[Result[str, Attempted | None]],
        stores: Stores,
        measures: Measures,
        clock: Clock,
        stopping: Context,
    ) -> None:
        self._results, self._stopping = results, stopping
        self._records, self._files = stores.records, stores.files
        self._measures, self._clock = measures, clock
        self._thread = threading.Thread(target=self._run, name="imgpool-collector", daemon=True)

    def start(self) -> None:
        """Collect from now on."""
        self._thread.start()

    def join(self, timeout_s: float) -> None:
        """Wait for the end, so long at most."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        for result in self._results:
            try:
                self._record(result)
            except Exception:  # a dead collector would stop every worker: one image waits for the next start instead
                log.exception("image %s: its result could not be recorded", result.job.payload)

    def _record(self, result: Result[str, Attempted | None]) -> None:
        image_id = result.job.payload
        if result.outcome == "succeeded":
            attempted = result.value
        elif result.outcome == "failed":
            log.error("image %s: an error of imgpool itself", image_id, exc_info=result.error)
            attempted = Attempted("imgpool made a mistake while it processed this image; the server's log has it.")
        else:
            return  # never started: its record still says `queued`
        if attempted is None:
            return
        outcome = attempted.outcome(result.waited_s, result.ran_s)
        try:
            kept = retried(
                self._stopping, image_id, lambda: self._records.finish(image_id, self._clock.latest(), outcome)
            )
            # False also follows a change that was made although the store's answer was an error: look before deleting.
            kept = kept or retried(self._stopping, image_id, lambda: self._records.get(image_id)) is not None
        except JobCancelled:
            hand_back(self._records, image_id)
            return
        if kept:
            self._measures.finished(done=outcome.error is None, wait_s=result.waited_s, service_s=result.ran_s)
        else:
            self._delete_files(image_id)

    def _delete_files(self, image_id: str) -> None:
        """The image was deleted while it was processed: what the worker just published must go too."""
        try:
            self._files.delete(image_id)
        except OSError as error:
            log.error("files of deleted image %s are left until the next start: %s", image_id, error)


def hand_back(records: Records, image_id: str) -> None:
    """Have the image queued again, its attempt uncounted. Blocks on the store."""
    try:
        records.hand_back(image_id)
    except StoreError as error:  # not well yet: it stays `processing`, which the next start takes up as well
        log.error("image %s could not be handed back: %s", image_id, error)

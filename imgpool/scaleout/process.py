"""One process of a Celery worker's pool: takes an image ID, ends with the image's outcome in the records.

Owns the process' connections, its decoder child and its heartbeat, all made after the fork. What it began stays its
own while it beats; when it hangs, or is cut off, for longer than its lease, others try the image and its late end
counts for nothing.
"""

from __future__ import annotations

import fcntl
import logging
import select
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imgpool.config import Settings
from imgpool.errors import DecoderKilled, JobCancelled
from imgpool.imaging.model import Made
from imgpool.pool import Context
from imgpool.scaleout.broker import Publisher
from imgpool.scaleout.cluster import Cluster
from imgpool.scaleout.sweeper import Sweeper
from imgpool.service.attempt import Attempted, attempt, retried
from imgpool.service.clock import Clock
from imgpool.service.records import ImageRecord, StoreError
from imgpool.service.workshop import Workshop

log = logging.getLogger(__name__)

PAUSED_LOOK_S = 0.5
CONNECTIONS = 2  # one for the work, one for the heartbeat


class PoolProcess:
    """Made, used and closed by the process' main thread. `stop_fd` ends when the worker begins to stop."""

    def __init__(self, settings: Settings, node: str, publisher: Publisher, stop_fd: int) -> None:
        self._settings = settings
        self._workshop = Workshop(settings)
        self._clock = Clock()
        self._cluster = Cluster(settings, "worker", node, connections=CONNECTIONS)
        self._cluster.open()
        self._records, self._files = self._cluster.records, self._cluster.files
        self._stop_fd = stop_fd
        self._stopping = Context()  # for waiting: what is under way is finished
        self._never = Context()
        self._giants = (settings.data_dir / "giants").open("w")
        self._processor = self._workshop.make_processor()
        self._publisher = publisher
        self._sweeper = Sweeper(self._cluster, settings, publisher.send, lambda: not publisher.away, files=False)
        self._ended = threading.Event()
        self._beating = threading.Thread(target=self._beat, name="imgpool-beat", daemon=True)
        for thread in (self._publisher, self._sweeper, self._beating):
            thread.start()

    def close(self) -> None:
        """The process ends, and its decoder with it. Blocks for some seconds when the database is away."""
        self._ended.set()
        self._processor.close()
        self._sweeper.stop()
        self._publisher.stop()
        self._beating.join()
        self._cluster.leave()
        self._cluster.close()
        self._giants.close()

    def process(self, image_id: str) -> None:
        """Blocks until the image has ended, is not this process' to process (any more), or the worker stops."""
        try:
            record = retried(self._stopping, image_id, lambda: self._begin(image_id))
        except JobCancelled:
            self._publisher.send(image_id)  # this message is used up with this call
            return
        while record is not None:
            began = time.monotonic()
            try:
                attempted = retried(self._stopping, image_id, lambda: self._attempt(image_id))
            except JobCancelled:  # its files are away, and the worker stops
                self._hand_back(image_id)
                return
            except DecoderKilled as error:
                # From outside, as the system does for lack of memory: perhaps because of another image.
                if record.attempts < self._settings.max_attempts:
                    log.warning("image %s is tried again: %s", image_id, error)
                    record = retried(
                        self._stopping, image_id, lambda: self._records.begin_again(image_id, self._clock.now())
                    )
                    continue
                attempted = Attempted(f"{error} It was tried {record.attempts} times.")
            except Exception:
                log.exception("image %s: an error of imgpool itself", image_id)
                attempted = Attempted("imgpool made a mistake while it processed this image; the server's log has it.")
            self._finish(record, attempted, time.monotonic() - began)
            return

    def _begin(self, image_id: str) -> ImageRecord | None:
        """Count an attempt. While the pool is paused: wait, with the message in hand. None: not queued (any more)."""
        while (record := self._records.begin(image_id, self._clock.now())) is None:
            known = self._records.get(image_id)
            # Whether there is a pause now says nothing of that moment: one that has just ended would cost the message.
            if known is None or known.state != "queued":
                return None
            if self._stopping.wait(PAUSED_LOOK_S):
                raise JobCancelled("the worker stops")
        return record

    def _attempt(self, image_id: str) -> Attempted:
        def process(original: Path, staged: Path) -> Made:
            with self._memory_for(original):
                timeout_s = self._settings.job_timeout_s
                return self._processor.process(original, staged, timeout_s=timeout_s, cancelled=self._never)

        return attempt(self._files, image_id, process)

    @contextmanager
    def _memory_for(self, original: Path) -> Iterator[None]:
        """What needs more than a process' own share is decoded by one process of this host at a time, so that all
        together stay in the memory budget. Blocks while another one has the rest of it.
        """
        giant = self._workshop.budget.weigh(original) > 0
        if giant:
            fcntl.flock(self._giants, fcntl.LOCK_EX)
        try:
            yield
        finally:
            if giant:
                fcntl.flock(self._giants, fcntl.LOCK_UN)

    def _finish(self, record: ImageRecord, attempted: Attempted, service_s: float) -> None:
        wait_s = max(0.0, (record.started_at or 0.0) - record.received_at)
        outcome = attempted.outcome(wait_s, service_s)
        now = self._clock.latest()
        try:
            kept = retried(self._stopping, record.id, lambda: self._records.finish(record.id, now, outcome))
            # False: it was deleted meanwhile, or thought lost and given to another, whose attempt it is now.
            if not kept:
                self._put_away(
                    attempted, retried(self._stopping, record.id, lambda: self._records.get(record.id)), record.id
                )
        except JobCancelled:
            log.error("image %s: its end could not be recorded, others will try it again", record.id)
        except OSError as error:
            log.error("files of deleted image %s are left until a sweep: %s", record.id, error)

    def _put_away(self, attempted: Attempted, now: ImageRecord | None, image_id: str) -> None:
        """Remove what was just published for nothing: with a deleted image all of it, else what this attempt made."""
        if now is None:
            self._files.delete(image_id)
        elif attempted.variants and attempted.variants != now.variants:  # the same: an earlier answer was lost
            prefix = attempted.variants[0].filename.partition("/")[0] + "/"
            self._files.withdraw(image_id, prefix)

    def _hand_back(self, image_id: str) -> None:
        try:
            self._records.hand_back(image_id)
        except StoreError as error:  # its lease runs out, and others try it again
            log.error("image %s could not be handed back: %s", image_id, error)

    # In the heartbeat's thread

    def _beat(self) -> None:
        watched = [self._stop_fd]
        every_s = self._settings.lease_s / 5
        while not self._ended.is_set():
            try:
                self._cluster.beat(1)
                for image_id in self._records.keep():
                    log.error("image %s was taken from this process: it was silent for too long", image_id)
            except StoreError as error:
                log.error("no heartbeat: %s", error)
            except Exception:  # without this thread, all that is begun here would be taken away
                log.exception("no heartbeat")
            if watched and select.select(watched, [], [], every_s)[0]:
                self._stopping.cancel("the worker stops")
                watched = []
            elif not watched:
                self._ended.wait(every_s)

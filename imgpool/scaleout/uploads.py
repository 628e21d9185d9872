"""Resumable uploads that any host may go on with, at each request.

What `Resumable` keeps in memory is here a picture of one host: who sends it bytes now, and which slots it holds. What
is true of an upload is its row in PostgreSQL (`unfinished`) and its pieces in the common store (`unfinished_files`).

A request that goes on with an upload ends the one before it, on whichever host that is: at once when it is this one,
else within half a second, and in any case before the older one could store another byte.
"""

from __future__ import annotations

import logging

from imgpool.config import Settings
from imgpool.scaleout.unfinished import Known, Unfinished
from imgpool.scaleout.unfinished_files import SharedUnfinished
from imgpool.service.resumable import YIELDS_AFTER_S, Intake, Resumable, Standing, no_such_upload, too_many
from imgpool.service.resumable_turn import Entry

log = logging.getLogger(__name__)

EXPIRY_LOOK_S = 5.0


class SharedResumable(Resumable):
    """See `Resumable`; what blocks there on the disk blocks here on the database and the store of files, and raises
    `StoreError`, too.
    """

    def __init__(
        self,
        settings: Settings,
        uploads: Unfinished,
        unfinished: SharedUnfinished,
        intake: Intake,
    ) -> None:
        super().__init__(settings, unfinished, intake)
        self._uploads, self._shared = uploads, unfinished
        self._expiry_looked_at = float("-inf")

    def interrupt(self, upload_id: str) -> None:
        """See `Resumable.interrupt`."""
        super().interrupt(upload_id)  # which keeps what has come to this host
        self._uploads.interrupt(upload_id)

    def standing(self) -> Standing:
        """See `Resumable.standing`: of all hosts, but the slots are this one's."""
        uploads, announced = self._uploads.standing()
        return Standing(uploads, announced, super().standing().slots)

    def tend(self) -> None:
        """See `Resumable.tend`. Also ends the turns that were taken over on other hosts."""
        now = self._clock()
        entries = {entry.facts.id: entry for entry in self._tended(now)}
        for upload_id in self._uploads.over(self._shared.turns()):
            if (taken := entries.get(upload_id)) is not None:
                with taken.lock:
                    taken.take_over(now)
        with self._lock:  # what is idle here may be going on elsewhere: its row says all there is
            for upload_id, entry in entries.items():
                if entry.idle and self._book.entries.get(upload_id) is entry:
                    self._forget(upload_id)
        if now - self._expiry_looked_at >= EXPIRY_LOOK_S and not self._stopping.done:
            self._expiry_looked_at = now
            for known in self._uploads.still_longest(self._settings.unfinished_expire_s):
                self._expire_row(known)

    # The book

    def _entry(self, upload_id: str) -> Entry:
        known = self._uploads.look(upload_id)
        now = self._clock()
        with self._lock:
            entry = self._book.entries.get(upload_id)
            if known is None:
                self._forget(upload_id)
            elif entry is None or entry.closed:
                entry = self._book.entries[upload_id] = Entry(known.facts, None, now)
        if known is None or entry is None:
            if entry is not None:
                entry.close(now)
            raise no_such_upload()
        entry.moved(now - known.still_s)
        return entry

    def _enter(self, entry: Entry) -> None:
        settings = self._settings
        while not self._uploads.begin(entry.facts, settings.max_unfinished_uploads, settings.max_unfinished_bytes):
            oldest = self._uploads.still_longest(YIELDS_AFTER_S)
            if not oldest:
                raise too_many()
            self._expire_row(oldest[0])
        with self._lock:
            self._book.entries[entry.facts.id] = entry

    def _end(self, entry: Entry) -> None:
        entry.close(self._clock())
        with self._lock:
            self._forget(entry.facts.id)
        self._shared.remove(entry.facts.id)

    def _expire_row(self, known: Known) -> None:
        if self._uploads.remove(known.facts.id):  # else another host did
            self._count_expired()
        self._shared.remove(known.facts.id)

    def _forget(self, upload_id: str) -> None:
        """With the lock held."""
        self._book.entries.pop(upload_id, None)

"""The book of unfinished uploads of which any host may go on with any, at each request.

What `Book` keeps in memory is here a picture of one host: who sends it bytes now, and which slots it holds. What is
true of an upload is its row in PostgreSQL (`unfinished`) and its pieces in the common store (`unfinished_files`).

A request that goes on with an upload ends the one before it, on whichever host that is: at once when it is this one,
else within half a second, and in any case before the older one could store another byte.
"""

from __future__ import annotations

from imgpool.config import Settings
from imgpool.scaleout.unfinished import Known
from imgpool.scaleout.unfinished_files import SharedUnfinished
from imgpool.service.intake import Intake
from imgpool.service.resumable_book import YIELDS_AFTER_S, Book, Standing, no_such_upload, too_many
from imgpool.service.resumable_entry import Entry

EXPIRY_LOOK_S = 5.0


class SharedBook(Book):
    """See `Book`; what blocks there on the disk blocks here on the database and the store of files, and raises
    `StoreError`, too.
    """

    def __init__(self, settings: Settings, store: SharedUnfinished, intake: Intake) -> None:
        super().__init__(settings, store, intake)
        self._shared, self._rows = store, store.uploads
        self._expiry_looked_at = float("-inf")

    def entry(self, upload_id: str) -> Entry:
        """See `Book.entry`: of any host."""
        known = self._rows.look(upload_id)
        now = self.intake.clock()
        with self._lock:
            entry = self._entries.get(upload_id)
            if known is None:
                self._forget(upload_id)
            elif entry is None or entry.closed:
                entry = self._entries[upload_id] = Entry(known.facts, None, now)
        if known is None or entry is None:
            if entry is not None:
                entry.close(now)
            raise no_such_upload()
        entry.moved(now - known.still_s)
        return entry

    def standing(self) -> Standing:
        """See `Book.standing`: of all hosts, but the slots are this one's."""
        uploads, announced = self._rows.standing()
        return Standing(uploads, announced, super().standing().slots)

    def enter(self, entry: Entry) -> None:
        """See `Book.enter`."""
        settings = self._settings
        while not self._rows.begin(entry.facts, settings.max_unfinished_uploads, settings.max_unfinished_bytes):
            oldest = self._rows.still_longest(YIELDS_AFTER_S)
            if not oldest:
                raise too_many()
            self._give_up_row(oldest[0])
        with self._lock:
            self._entries[entry.facts.id] = entry

    def remove(self, entry: Entry) -> None:
        """See `Book.remove`."""
        entry.close(self.intake.clock())
        with self._lock:
            self._forget(entry.facts.id)
        self._shared.remove(entry.facts.id)

    def interrupt(self, entry: Entry) -> None:
        """See `Book.interrupt`: on whichever host."""
        super().interrupt(entry)  # which keeps what has come to this one
        self._rows.interrupt(entry.facts.id)

    def tend(self) -> None:
        """See `Book.tend`. Also ends the turns that were taken over on other hosts."""
        now = self.intake.clock()
        entries = {entry.facts.id: entry for entry in self.entries()}
        for upload_id in self._rows.over(self._shared.turns()):
            if (taken := entries.get(upload_id)) is not None:
                with taken.lock:
                    taken.take_over(now)
        with self._lock:  # what is idle here may be going on elsewhere: its row says all there is
            for upload_id, entry in entries.items():
                if entry.idle and self._entries.get(upload_id) is entry:
                    self._forget(upload_id)
        if now - self._expiry_looked_at >= EXPIRY_LOOK_S:
            self._expiry_looked_at = now
            for known in self._rows.still_longest(self._settings.unfinished_expire_s):
                self._give_up_row(known)

    def _give_up_row(self, known: Known) -> None:
        if self._rows.remove(known.facts.id):  # else another host did
            self.count_expired()
        self._shared.remove(known.facts.id)

    def _forget(self, upload_id: str) -> None:
        """With the lock held."""
        self._entries.pop(upload_id, None)

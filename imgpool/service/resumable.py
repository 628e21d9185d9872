"""Uploads that may come in several requests: the connection may go, the bytes stay, and the slot soon does not.

One that ends well is an image like any other (`Upload.accept` says what that takes), and its ID was the upload's. One
begins only with a slot; when it stands still for `unfinished_slot_s`, or trickles while others find no slot, it loses
its own, and the next bytes have to ask for one again. When it stands still for `unfinished_expire_s` it is gone.

Owns the thread that takes slots and disk back. Which uploads there are is in the `Book`, what a request brings is its
`Turn`'s. Knows nothing of tus or HTTP.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from imgpool.config import Settings
from imgpool.errors import NoFile, UploadTooLarge
from imgpool.pool import Context
from imgpool.service.records import StoreError
from imgpool.service.resumable_book import Book, Standing
from imgpool.service.resumable_entry import Entry, Held
from imgpool.service.resumable_files import Facts
from imgpool.service.resumable_turn import Turn, stopping_now
from imgpool.service.upload import clean_name, store_refusal

log = logging.getLogger(__name__)

Enter = Callable[[], Callable[[], None]]

TEND_S = 0.5
LOOK_AGAIN_S = 0.05  # looking for a slow upload costs a walk over all of them


@dataclass(frozen=True, slots=True)
class Unfinished:
    """One look at an unfinished upload. `expires_in_s` counts from the moment at which bytes stop to come."""

    id: str
    length: int
    offset: int
    name: str
    owner: str | None
    note: str
    expires_in_s: float


class Resumable:
    """All unfinished uploads of a service. Any thread may call any method; those that say so block on the disk."""

    def __init__(self, settings: Settings, book: Book) -> None:
        self._settings, self._book = settings, book
        self._clock = book.intake.clock
        self._draining = False
        self._looked_at = float("-inf")
        self._stopping = Context()
        self._thread = threading.Thread(target=self._keep_tending, name="imgpool-uploads", daemon=True)

    # Life

    def start(self) -> None:
        """Start the thread that takes slots and disk back."""
        self._thread.start()

    def drain_soon(self) -> None:
        """A stop is near: clients that are silent are not waited for from now on. Takes no lock, blocks on nothing."""
        self._draining = True

    def stop(self) -> None:
        """Interrupt whoever sends bytes, give all slots back, keep the bytes. Idempotent; blocks for a moment."""
        self._stopping.cancel("the server stops")
        self._thread.join()
        self._tend_if_possible()

    # Uploads

    def create(
        self, length: int, name: str, owner: str | None = None, note: str = "", enter: Enter = lambda: _nothing
    ) -> Unfinished:
        """Begin an upload of `length` bytes: it has a slot. Blocks on the disk. Raises `Refused`.

        `enter` is asked before the slot, and may refuse; what it returns is called when the slot is held no more.
        """
        if length < 1:
            raise NoFile("The file is empty: choose one that has a picture in it.")
        if length > (most := self.max_bytes):
            raise UploadTooLarge(f"The file has {length} bytes; at most {most} are accepted.")
        facts = Facts(secrets.token_hex(16), length, clean_name(name), owner, note)
        entry = Entry(facts, self._hold(facts.id, enter), self._clock())
        try:
            self._book.enter(entry)
        except BaseException:
            entry.close(self._clock())
            raise
        try:
            self._book.store.begin(entry.facts)
        except OSError as error:
            with suppress(OSError):  # the next start sweeps it away
                self._book.remove(entry)
            raise store_refusal(error) from error
        return self._seen(entry, 0)

    @property
    def max_bytes(self) -> int:
        """The longest upload that is taken."""
        return min(self._settings.max_upload_bytes, self._settings.max_unfinished_bytes)

    def find(self, upload_id: str) -> Unfinished:
        """Look at an upload, without disturbing whoever sends its bytes. Blocks on the disk. Raises `NoSuchUpload`."""
        entry = self._book.entry(upload_id)
        return self._seen(entry, self._book.store.offset(entry.facts))

    def interrupt(self, upload_id: str) -> None:
        """End the request that sends bytes now, if there is one: its client is asking anew. Raises `NoSuchUpload`."""
        self._book.interrupt(self._book.entry(upload_id))

    def go_on(
        self,
        upload_id: str,
        offset: int,
        enter: Enter = lambda: _nothing,
        interrupt: Callable[[], None] = lambda: None,
    ) -> Turn:
        """A turn to send bytes from `offset` on, with a slot; it interrupts the one before. Blocks on the disk.

        Raises `NoSuchUpload`, `WrongOffset`, or `Refused` (no slot now: the bytes stay). Use it as a context manager.
        `enter` is asked when it has no slot any more, as by `create`. `interrupt` is called, from any thread, when the
        upload is taken over while the turn's bytes still come: it should end the wait for them.
        """
        if self._stopping.done:
            raise stopping_now()
        entry = self._book.entry(upload_id)
        return Turn(self._book, self._stopping, entry, offset, lambda: self._hold(upload_id, enter), interrupt)

    def terminate(self, upload_id: str) -> None:
        """Forget an upload: its client does not want it any more. Blocks on the disk. Raises `NoSuchUpload`."""
        self.interrupt(upload_id)
        self._book.remove(self._book.entry(upload_id))

    def standing(self) -> Standing:
        """How many there are."""
        return self._book.standing()

    def _hold(self, upload_id: str, enter: Enter) -> Held:
        left = enter()
        try:
            return Held(self._book.intake.reserve(upload_id), left)
        except BaseException:
            left()
            raise

    def _seen(self, entry: Entry, offset: int) -> Unfinished:
        facts = entry.facts
        left_s = max(0.0, self._settings.unfinished_expire_s - entry.still_s(self._clock()))
        return Unfinished(facts.id, facts.length, offset, facts.name, facts.owner, facts.note, left_s)

    # Slots and disk that are wanted back

    def make_way(self) -> bool:
        """Take the slot of an upload that is too slow to keep it while another one wants it, as those are that stand
        still; whether there was one. Any thread; blocks on nothing.
        """
        now = self._clock()
        if now - self._looked_at < LOOK_AGAIN_S:
            return False
        holders = [entry for entry in self._book.entries() if entry.held is not None]
        if any(entry.makes_way(self._settings.min_upload_bytes_per_s, now) for entry in holders):
            return True
        self._looked_at = now
        return False

    def tend(self) -> None:
        """Take back the slots of uploads that stand still, and the disk of those that expired. Before a stop, wait no
        longer for clients that are silent; at the stop, leave the disk to the next start. Blocks on the disk.
        """
        now = self._clock()
        for entry in self._book.entries():
            if self._draining:
                entry.end_silent_turn(now)
            if entry.still_s(now) >= self._settings.unfinished_slot_s or self._stopping.done:
                entry.give_slot_back_if_still(now)
        if not self._stopping.done:
            self._book.tend()

    def _keep_tending(self) -> None:
        while not self._stopping.wait(min(TEND_S, self._settings.unfinished_slot_s)):
            self._tend_if_possible()

    def _tend_if_possible(self) -> None:
        try:
            self.tend()
        except (OSError, StoreError) as error:
            log.error("unfinished uploads could not be looked after: %s", error)


def _nothing() -> None:
    """Nobody counts."""

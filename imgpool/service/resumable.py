"""Uploads that may come in several requests: the connection may go, the bytes stay, and the slot soon does not.

Owns the unfinished uploads: which there are, who writes to each, which hold a slot. One that ends well is an image
like any other (`Upload.accept` says what that takes), and its ID was the upload's. One begins only with a slot; when
it stands still for `unfinished_slot_s`, or trickles while others find no slot, it loses its own, and the next bytes
have to ask for one again. When it stands still for `unfinished_expire_s` it is gone. Knows nothing of tus or HTTP.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from imgpool.config import Settings
from imgpool.errors import Draining, Expired, NoFile, NoSuchUpload, Refused, TooManyUnfinished, UploadTooLarge
from imgpool.pool import Context
from imgpool.service.engine import Slot
from imgpool.service.records import StoreError
from imgpool.service.resumable_files import Facts, UnfinishedStore
from imgpool.service.resumable_turn import Entry, Held, Turn
from imgpool.service.upload import Begun, Upload, clean_name, store_refusal

log = logging.getLogger(__name__)

Enter = Callable[[], Callable[[], None]]

TEND_S = 0.5
LOOK_AGAIN_S = 0.05  # looking for a slow upload costs a walk over all of them
YIELDS_AFTER_S = 60.0  # an upload that stood still for so long may be dropped to make room for a new one


@dataclass(frozen=True, slots=True)
class Intake:
    """What unfinished uploads want of the service that they belong to: `reserve` gives a slot for an image or raises
    `Refused`, `upload` makes an upload like any other of what came, `count` is told of each one that the service gives
    up by itself, and `clock` says for how many seconds one stands still.
    """

    reserve: Callable[[str], Slot]
    upload: Callable[[str, Slot, Begun], Upload]
    count: Callable[[Refused], None]
    clock: Callable[[], float]


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


@dataclass(frozen=True, slots=True)
class Standing:
    """How many unfinished uploads there are, their bytes as they were announced, and how many hold a slot."""

    uploads: int
    bytes: int
    slots: int


@dataclass
class _Book:
    """What is guarded by the lock of `Resumable`."""

    entries: dict[str, Entry] = field(default_factory=dict)
    bytes: int = 0


class Resumable:
    """All unfinished uploads of a service. Any thread may call any method; those that say so block on the disk."""

    def __init__(self, settings: Settings, unfinished: UnfinishedStore, intake: Intake) -> None:
        self._settings = settings
        self._unfinished = unfinished
        self._intake = intake
        self._clock = intake.clock
        self._draining = False
        self._lock = threading.Lock()
        self._book = _Book()
        self._looked_at = float("-inf")
        self._stopping = Context()
        self._thread = threading.Thread(target=self._keep_tending, name="imgpool-uploads", daemon=True)

    # Life

    def take_up(self, found: Iterable[tuple[Facts, float]], known: Callable[[Iterable[str]], set[str]]) -> int:
        """Before the first request: take up what an earlier run left, each with the seconds since it moved; returns how
        many uploads go on. Blocks. Raises OSError or `StoreError`.
        """
        now = self._clock()
        for facts, still_s in found:
            kept = facts.id in known([facts.id])  # killed between its record and the end of its upload
            if kept or still_s >= self._settings.unfinished_expire_s:
                self._unfinished.remove(facts.id)
            else:
                self._book.entries[facts.id] = Entry(facts, None, now - still_s)
                self._book.bytes += facts.length
        return len(self._book.entries)

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
            self._enter(entry)
        except BaseException:
            entry.close(self._clock())
            raise
        try:
            self._unfinished.begin(entry.facts)
        except OSError as error:
            with suppress(OSError):  # the next start sweeps it away
                self._end(entry)
            raise store_refusal(error) from error
        return self._seen(entry, 0)

    @property
    def max_bytes(self) -> int:
        """The longest upload that is taken."""
        return min(self._settings.max_upload_bytes, self._settings.max_unfinished_bytes)

    def find(self, upload_id: str) -> Unfinished:
        """Look at an upload, without disturbing whoever sends its bytes. Blocks on the disk. Raises `NoSuchUpload`."""
        entry = self._entry(upload_id)
        return self._seen(entry, self._unfinished.offset(entry.facts))

    def interrupt(self, upload_id: str) -> None:
        """End the request that sends bytes now, if there is one: its client is asking anew. Raises `NoSuchUpload`."""
        entry = self._entry(upload_id)
        with entry.lock:
            entry.keep_and_take_over(self._clock())

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
            raise _draining()
        entry = self._entry(upload_id)
        return Turn(self, self._unfinished, entry, offset, lambda: self._hold(upload_id, enter), interrupt)

    def terminate(self, upload_id: str) -> None:
        """Forget an upload: its client does not want it any more. Blocks on the disk. Raises `NoSuchUpload`."""
        self.interrupt(upload_id)
        self._end(self._entry(upload_id))

    def standing(self) -> Standing:
        """How many there are."""
        with self._lock:
            slots = sum(entry.held is not None for entry in self._book.entries.values())
            return Standing(len(self._book.entries), self._book.bytes, slots)

    def make_way(self) -> bool:
        """Take the slot of an upload that is too slow to keep it while another one wants it, as those are that stand
        still; whether there was one. Any thread; blocks on nothing.
        """
        now = self._clock()
        if now - self._looked_at < LOOK_AGAIN_S:
            return False
        with self._lock:
            holders = [entry for entry in self._book.entries.values() if entry.held is not None]
        if any(entry.makes_way(self._settings.min_upload_bytes_per_s, now) for entry in holders):
            return True
        self._looked_at = now
        return False

    def tend(self) -> None:
        """Take back the slots of uploads that stand still, and the disk of those that expired; before a stop, wait no
        longer for clients that are silent. Blocks on the disk.
        """
        now = self._clock()
        for entry in self._tended(now):
            if entry.still_s(now) >= self._settings.unfinished_expire_s:
                self._expire(entry)

    def _tended(self, now: float) -> list[Entry]:
        """All there are, after silent turns were ended and slots were taken back."""
        with self._lock:
            entries = list(self._book.entries.values())
        for entry in entries:
            if self._draining:
                entry.end_silent_turn(now)
            if entry.still_s(now) >= self._settings.unfinished_slot_s or self._stopping.done:
                entry.give_slot_back_if_still(now)
        return entries

    def _keep_tending(self) -> None:
        while not self._stopping.wait(min(TEND_S, self._settings.unfinished_slot_s)):
            self._tend_if_possible()

    def _tend_if_possible(self) -> None:
        try:
            self.tend()
        except (OSError, StoreError) as error:
            log.error("unfinished uploads could not be looked after: %s", error)

    # For turns

    @property
    def stopping(self) -> bool:
        """Whether bytes are refused because the server stops."""
        return self._stopping.done

    def now(self) -> float:
        """Seconds of the clock by which uploads stand still."""
        return self._clock()

    def as_upload(self, image_id: str, slot: Slot, begun: Begun) -> Upload:
        """What has come, as an upload like any other."""
        return self._intake.upload(image_id, slot, begun)

    def finished(self, entry: Entry) -> None:
        """The upload is an image, or can become none."""
        self._end(entry)

    # The book

    def _entry(self, upload_id: str) -> Entry:
        with self._lock:
            entry = self._book.entries.get(upload_id)
        if entry is None:
            raise no_such_upload()
        return entry

    def _seen(self, entry: Entry, offset: int) -> Unfinished:
        facts = entry.facts
        left_s = max(0.0, self._settings.unfinished_expire_s - entry.still_s(self._clock()))
        return Unfinished(facts.id, facts.length, offset, facts.name, facts.owner, facts.note, left_s)

    def _hold(self, upload_id: str, enter: Enter) -> Held:
        left = enter()
        try:
            return Held(self._intake.reserve(upload_id), left)
        except BaseException:
            left()
            raise

    def _enter(self, entry: Entry) -> None:
        """Book a new upload; those that stood still longest make room for it, if need be."""
        while not self._entered(entry):
            now = self._clock()
            with self._lock:
                oldest = max(self._book.entries.values(), key=lambda each: each.still_s(now), default=None)
            if oldest is None or oldest.still_s(now) < YIELDS_AFTER_S:
                raise too_many()
            self._expire(oldest)

    def _entered(self, entry: Entry) -> bool:
        settings, book = self._settings, self._book
        with self._lock:
            if (
                len(book.entries) >= settings.max_unfinished_uploads
                or book.bytes + entry.facts.length > settings.max_unfinished_bytes
            ):
                return False
            book.entries[entry.facts.id] = entry
            book.bytes += entry.facts.length
        return True

    def _expire(self, entry: Entry) -> None:
        self._end(entry)
        self._count_expired()

    def _count_expired(self) -> None:
        self._intake.count(Expired("The upload stood still for too long: begin it again."))

    def _end(self, entry: Entry) -> None:
        entry.close(self._clock())
        with self._lock:
            if self._book.entries.pop(entry.facts.id, None) is None:
                return
            self._book.bytes -= entry.facts.length
        self._unfinished.remove(entry.facts.id)


def too_many() -> TooManyUnfinished:
    """No place for another one, and none that could yield its own."""
    return TooManyUnfinished(
        "The server has as many unfinished uploads as it takes: try again in a minute.", retry_after_s=60
    )


def no_such_upload() -> NoSuchUpload:
    """There is none, or there is one no more."""
    return NoSuchUpload("There is no unfinished upload with this ID; it may have expired.")


def _nothing() -> None:
    """Nobody counts."""


def _draining() -> Draining:
    return Draining("The server is stopping and keeps what it has: go on in a moment.", retry_after_s=5)

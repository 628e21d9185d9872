"""One request's turn to send bytes to an unfinished upload, and the entry that says whose turn it is.

A turn belongs to one thread. Another turn may take the upload over at any moment, between two writes; the older one
learns of it at its next step and has then nothing more to say.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn, Self

from imgpool.errors import Draining, NoSuchUpload, Refused, Superseded, UploadTooLarge, WrongOffset
from imgpool.imaging.formats import SNIFF_BYTES
from imgpool.service.engine import Slot
from imgpool.service.records import NewImage
from imgpool.service.resumable_files import Facts, GrowingOriginal, UnfinishedStore
from imgpool.service.upload import Begun, sniffed, store_refusal

if TYPE_CHECKING:
    from imgpool.service.resumable import Resumable

log = logging.getLogger(__name__)

SILENT_S = 1.0  # at a stop, a client that says nothing for so long is not waited for
GRACE_WHEN_FULL_S = 2.0  # as for uploads in one request (imgpool.server.connection)


@dataclass(frozen=True, slots=True)
class Held:
    """A slot, and whom to tell when the upload does not hold it any more."""

    slot: Slot
    left: Callable[[], None]


class Entry:
    """An unfinished upload in memory. All but `facts` is guarded by `lock`; a disk write may hold that."""

    def __init__(self, facts: Facts, held: Held | None, moved_at: float) -> None:
        self.facts = facts
        self.lock = threading.Lock()
        self.hold(held, moved_at)
        self.turn: Turn | None = None
        self.closed = False
        self._moved_at = moved_at

    def still_s(self, now: float) -> float:
        """For how long no request has been sending bytes; 0 while one does."""
        return 0.0 if self.turn is not None else max(0.0, now - self._moved_at)

    def moved(self, moved_at: float) -> None:
        """Somebody else says when it moved; nothing while a request sends bytes here."""
        with self.lock:
            if self.turn is None:
                self._moved_at = moved_at

    def hold(self, held: Held | None, now: float) -> None:
        """Have a slot, and from now on a pace. With the lock held, or before anybody knows the entry."""
        self.held, self._held_at, self.received = held, now, 0

    @property
    def idle(self) -> bool:
        """Whether nobody sends bytes, and it has no slot."""
        return self.turn is None and self.held is None

    def makes_way(self, least_bytes_per_s: int, now: float) -> bool:
        """Give the slot back if the bytes come too slowly to keep it while another upload wants it; whether it did,
        for others to take. Blocks on nothing: whose bytes are being written right now is not slow.
        """
        if not self.lock.acquire(blocking=False):
            return False
        try:
            held_s = now - self._held_at
            slow = held_s > GRACE_WHEN_FULL_S and self.received < least_bytes_per_s * held_s
            if self.held is None or not slow:
                return False
            self.take_over(now)
            self.give_slot_back()
            return True
        finally:
            self.lock.release()

    def leave(self, now: float) -> None:
        """Nobody sends bytes from now on. With the lock held."""
        self.turn = None
        self._moved_at = now

    def take_over(self, now: float) -> None:
        """As `leave`; whoever waits for the rest of its request's bytes waits no longer. With the lock held."""
        turn = self.turn
        self.leave(now)
        if turn is not None:
            turn.interrupt()

    def end_silent_turn(self, now: float) -> None:
        """End the wait for bytes that have not come for a while; those that came are kept. Blocks on nothing: whose
        bytes are being written right now is not silent.
        """
        if not self.lock.acquire(blocking=False):
            return
        try:
            if self.turn is not None and now - self.turn.wrote_at >= SILENT_S:
                self.turn.interrupt()
        finally:
            self.lock.release()

    def keep_and_take_over(self, now: float) -> None:
        """As `take_over`, and what has come until now is kept. With the lock held; blocks on the disk."""
        turn = self.turn
        self.take_over(now)
        if turn is not None:
            turn.pause()

    def give_slot_back(self) -> None:
        """With the lock held."""
        if self.held is not None:
            self.held.slot.release()  # nothing, when it was sent
            self.held.left()
            self.held = None

    def give_slot_back_if_still(self, now: float) -> None:
        """Unless bytes have begun to come."""
        with self.lock:
            if self.turn is None:
                self.give_slot_back()

    def close(self, now: float) -> None:
        """The end: no turn, no slot, and none any more."""
        with self.lock:
            self.closed = True
            self.leave(now)
            self.give_slot_back()


class Turn:
    """Bytes of one request. Made by `Resumable.go_on`; a context manager, at whose end what came is on the disk."""

    def __init__(
        self,
        uploads: Resumable,
        unfinished: UnfinishedStore,
        entry: Entry,
        offset: int,
        hold: Callable[[], Held],
        interrupt: Callable[[], None],
    ) -> None:
        self._uploads, self._entry, self.interrupt = uploads, entry, interrupt
        with entry.lock:
            if entry.closed:
                raise NoSuchUpload("There is no unfinished upload with this ID; it may have expired.")
            entry.keep_and_take_over(uploads.now())  # whoever sent bytes until now: this client has come back since
            try:
                there = unfinished.offset(entry.facts)
                if there != offset:
                    raise WrongOffset(there)
                if entry.held is None:
                    entry.hold(hold(), uploads.now())
                self._original: GrowingOriginal = unfinished.open(entry.facts, offset)
            except OSError as error:
                raise store_refusal(error) from error
            entry.turn = self
        self.offset = self._began_at = offset
        self.wrote_at = uploads.now()
        self._looked = False
        self._trusted = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._entry.lock:
            self.pause()
            if self._entry.turn is self:
                self._entry.leave(self._uploads.now())
                if self._uploads.stopping:
                    self._entry.give_slot_back()

    @property
    def length(self) -> int:
        """Bytes of the whole upload."""
        return self._entry.facts.length

    def distrust(self) -> None:
        """What comes has a checksum: no conclusion is drawn from the bytes until `finish`, and `undo` is possible."""
        self._trusted = False

    def write(self, chunk: bytes) -> None:
        """Take the next bytes; blocks on the disk. Raises `Superseded`, or `Refused`: final when the bytes are no
        image or more than announced (the upload is gone), else what came before stays.
        """
        if self.offset + len(chunk) > self.length:
            self._give_up(
                UploadTooLarge(f"The upload was announced with {self.length} bytes, and more came: begin it again.")
            )
        with self._entry.lock:
            self._check_turn()
            if self._uploads.stopping:
                raise Draining("The server is stopping and keeps what it has: go on in a moment.", retry_after_s=5)
            try:
                self._original.write(chunk)
            except OSError as error:
                raise store_refusal(error) from error
            self._entry.received += len(chunk)
            self.wrote_at = self._uploads.now()
        self.offset += len(chunk)
        if self._trusted and not self._looked and self.offset >= SNIFF_BYTES:
            self._look()

    def undo(self) -> None:
        """Forget what this turn brought: its checksum is wrong. Raises `Superseded`."""
        with self._entry.lock:
            self._check_turn()
            try:
                self._original.cut(self._began_at)
            except OSError as error:
                raise store_refusal(error) from error
        self.offset = self._began_at

    def finish(self) -> NewImage | None:
        """The request's bytes have come and are right. When that is all of the upload, it becomes an image: kept, as
        `Upload.accept` says. Blocks on the disk. Raises `Superseded`, or `Refused`: final without a `retry_after_s`.
        """
        if self.offset < self.length:
            if self.offset >= SNIFF_BYTES:
                self._look()
            return None
        try:
            image = self._accept()
        except Refused as refusal:
            self._give_up(refusal)
        try:
            self._uploads.finished(self._entry)
        except OSError as error:
            log.error("what came of a finished upload is left until the next start: %s", error)
        return image

    def _accept(self) -> NewImage:
        facts = self._entry.facts
        with self._entry.lock:
            self._check_turn()
            assert self._entry.held is not None  # noqa: S101 - a turn has one
            slot = self._entry.held.slot
            begun = Begun(self._original, self.offset, self._head())
            upload = self._uploads.as_upload(facts.id, slot, begun)
            image = upload.accept(facts.name, facts.owner)
            # Under the lock still: original and unfinished upload are one file now, that nobody may write to any more.
            self._entry.closed = True
        return image

    def _look(self) -> None:
        self._looked = True
        with self._entry.lock:
            self._check_turn()
            head = self._head()
        try:
            sniffed(head)
        except Refused as refusal:
            self._give_up(refusal)

    def _head(self) -> bytes:
        try:
            return self._original.head(SNIFF_BYTES)
        except OSError as error:
            raise store_refusal(error) from error

    def _give_up(self, refusal: Refused) -> NoReturn:
        """Raise the refusal; one that says no time to come back ends the upload."""
        if refusal.retry_after_s is None:
            with self._entry.lock:
                self.pause()
            self._uploads.finished(self._entry)
        raise refusal

    def _check_turn(self) -> None:
        if self._entry.turn is not self:
            raise Superseded("Another request goes on with this upload.")

    def pause(self) -> None:
        """Have what has come kept; idempotent. With the entry's lock held."""
        try:
            self._original.pause()
        except OSError as error:
            log.error("bytes of an unfinished upload could not be synced: %s", error)

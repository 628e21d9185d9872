"""One request's turn to send bytes to an unfinished upload.

A turn belongs to one thread. Another turn may take the upload over at any moment, between two writes; the older one
learns of it at its next step and has then nothing more to say.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import TracebackType
from typing import NoReturn, Self

from imgpool.errors import Draining, Refused, Superseded, UploadTooLarge, WrongOffset
from imgpool.imaging.formats import SNIFF_BYTES
from imgpool.pool import Context
from imgpool.service.records import NewImage
from imgpool.service.resumable_book import Book, no_such_upload
from imgpool.service.resumable_entry import Entry, Held
from imgpool.service.resumable_files import GrowingOriginal
from imgpool.service.upload import Begun, sniffed, store_refusal

log = logging.getLogger(__name__)


class Turn:
    """Bytes of one request. Made by `Resumable.go_on`; a context manager, at whose end what came is on the disk."""

    def __init__(
        self,
        book: Book,
        stopping: Context,
        entry: Entry,
        offset: int,
        hold: Callable[[], Held],
        interrupt: Callable[[], None],
    ) -> None:
        self._book, self._stopping, self._entry = book, stopping, entry
        self._clock = book.intake.clock
        self.interrupt = interrupt
        self.offset = self._began_at = offset
        self.wrote_at = self._clock()
        self._looked = False
        self._trusted = True
        with entry.lock:
            if entry.closed:
                raise no_such_upload()
            entry.keep_and_take_over(self._clock())  # whoever sent bytes until now: this client has come back since
            try:
                there = book.store.offset(entry.facts)
                if there != offset:
                    raise WrongOffset(there)
                if entry.held is None:
                    entry.hold(hold(), self._clock())
                self._original: GrowingOriginal = book.store.open(entry.facts, offset)
            except OSError as error:
                raise store_refusal(error) from error
            entry.turn = self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._entry.lock:
            self.pause()
            if self._entry.turn is self:
                self._entry.leave(self._clock())
                if self._stopping.done:
                    self._entry.give_slot_back()

    @property
    def length(self) -> int:
        """Bytes of the whole upload."""
        return self._entry.facts.length

    def distrust(self) -> None:
        """What comes has a checksum: no conclusion is drawn from the bytes until `finish`, and `undo` is possible."""
        self._trusted = False

    def write(self, chunk: bytes | memoryview) -> None:
        """Take the next bytes; blocks on the disk. Raises `Superseded`, or `Refused`: final when the bytes are no
        image or more than announced (the upload is gone), else what came before stays.
        """
        if self.offset + len(chunk) > self.length:
            self._give_up(
                UploadTooLarge(f"The upload was announced with {self.length} bytes, and more came: begin it again.")
            )
        with self._entry.lock:
            self._check_turn()
            if self._stopping.done:
                raise stopping_now()
            try:
                self._original.write(chunk)
            except OSError as error:
                raise store_refusal(error) from error
            self._entry.received += len(chunk)
            self.wrote_at = self._clock()
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
            self._book.remove(self._entry)
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
            upload = self._book.intake.upload(facts.id, slot, begun)
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
            self._book.remove(self._entry)
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


def stopping_now() -> Draining:
    """Nothing more is taken, and the bytes stay."""
    return Draining("The server is stopping and keeps what it has: go on in a moment.", retry_after_s=5)

"""The bytes of unfinished uploads, for all hosts: pieces in the common store, named in the upload's row.

What comes in is written to a local file, and stored whenever there are `PIECE_BYTES` of it and at the end of each turn;
then the row names the new piece. So a host that dies costs the bytes since the last piece and nothing else, and any
host can go on. At the end the original is one file again: pieces that this host does not have are fetched once.

A piece's name has the number of the turn that stored it: two turns never write to the same one.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from imgpool.errors import Superseded, WrongOffset
from imgpool.scaleout.pieces import Pieces
from imgpool.scaleout.scratch import Scratch
from imgpool.scaleout.unfinished import UnfinishedTable
from imgpool.service.files import Files
from imgpool.service.records import StoreError
from imgpool.service.resumable_book import no_such_upload
from imgpool.service.resumable_files import Facts

log = logging.getLogger(__name__)

PIECE_BYTES = 8 * 1024 * 1024
MOST_PIECES = 64  # a client that sends a little at a time has them made into one, so that its row stays small


class SharedUnfinished:
    """An `UnfinishedStore` for all hosts."""

    def __init__(self, uploads: UnfinishedTable, pieces: Pieces, files: Files, scratch: Scratch) -> None:
        self.uploads, self.pieces, self.files, self.scratch = uploads, pieces, files, scratch
        self._turns: dict[str, int] = {}  # of this host, as far as it knows; a dict's own methods are atomic

    def turns(self) -> dict[str, int]:
        """The uploads to which requests on this host send bytes, with the numbers of their turns."""
        return self._turns.copy()

    def begin(self, facts: Facts) -> None:
        """See `UnfinishedStore.begin`: its row was made when it was booked."""

    def offset(self, facts: Facts) -> int:
        """How many bytes are there, without the last one. Raises `NoSuchUpload`."""
        with as_os_error():
            known = self.uploads.look(facts.id)
        if known is None:
            raise no_such_upload()
        return known.stored

    def open(self, facts: Facts, offset: int) -> SharedOriginal:
        """Take the turn, to write on from this offset. Raises `WrongOffset` and `NoSuchUpload`."""
        with as_os_error():
            claimed = self.uploads.claim(facts.id, offset)
        if claimed is None:
            raise WrongOffset(self.offset(facts))
        self._turns[facts.id] = claimed[0]
        return SharedOriginal(self, facts, *claimed, offset)

    def ended(self, upload_id: str, turn: int) -> None:
        """No request on this host has this turn any more."""
        if self._turns.get(upload_id) == turn:
            self._turns.pop(upload_id, None)

    def remove(self, upload_id: str) -> None:
        """Forget it, and give the room back; idempotent. The row goes first: pieces alone are swept away."""
        with as_os_error():
            self.uploads.remove(upload_id)
        self.pieces.delete(upload_id)


class SharedOriginal:
    """A `NewOriginal` that grows over several requests, on several hosts. This is one turn at it, of one thread."""

    def __init__(
        self, unfinished: SharedUnfinished, facts: Facts, turn: int, pieces: tuple[str, ...], offset: int
    ) -> None:
        self._unfinished, self._facts, self.turn = unfinished, facts, turn
        self._before, self._offset = pieces, offset  # what earlier turns stored
        self._pieces, self._stored = pieces, offset
        self._end = offset
        self._fetched = offset == 0
        self._joined = False
        self._path = unfinished.scratch.file(facts.id)
        self._file: BinaryIO | None = self._path.open("x+b", buffering=0)

    def head(self, most: int) -> bytes:
        """The first bytes."""
        first = b""
        for name in () if self._fetched else self._before:
            if len(first) < most:
                with self._unfinished.pieces.read(self._facts.id, name, most - len(first)) as chunks:
                    first += b"".join(chunks)
        return first + os.pread(self._opened().fileno(), most - len(first), len(first))

    def write(self, chunk: bytes | memoryview) -> None:
        """See `NewOriginal.write`. Raises `Superseded` when another turn goes on with the upload."""
        self._write_at(self._end, chunk)
        self._end += len(chunk)
        while self._end - self._stored >= PIECE_BYTES:
            self._store(self._stored + PIECE_BYTES)

    def cut(self, offset: int) -> None:
        """Forget what this turn brought: the only offset that it knows of is where it began. Raises `Superseded`."""
        assert offset == self._offset  # noqa: S101
        self._opened().truncate(offset)
        self._end = offset
        if self._stored != offset:
            self._record(offset, self._before)

    def path(self) -> Path:
        """See `NewOriginal.path`."""
        self._fetch()
        return self._path

    def pause(self) -> None:
        """Store what has come, if it is this turn still, and let go of the local file; idempotent."""
        if self._file is None:
            return
        try:
            with as_os_error():
                mine = not self._unfinished.uploads.over({self._facts.id: self.turn})
            if mine:
                self._store(self._end)
        except Superseded as error:  # in this moment
            log.info("%s", error)
        finally:
            self.discard()

    def commit(self) -> None:
        """See `NewOriginal.commit`; the bytes stay here, too, as those of `UnfinishedOriginal` do."""
        self._unfinished.files.adopt(self._facts.id, self.path())

    def withdraw(self) -> None:
        """See `NewOriginal.withdraw`. It stays: another host may have finished the same upload with it. The next
        attempt writes over it, and a sweep finds it when there is none.
        """

    def discard(self) -> None:
        """See `NewOriginal.discard`: of the local file. What is stored stays."""
        self._unfinished.ended(self._facts.id, self.turn)
        if self._file is not None:
            self._file.close()
            self._file = None
        self._path.unlink(missing_ok=True)

    def _opened(self) -> BinaryIO:
        assert self._file is not None  # noqa: S101
        return self._file

    def _write_at(self, offset: int, chunk: bytes | memoryview) -> None:
        view = memoryview(chunk)
        while view:
            written = os.pwrite(self._opened().fileno(), view, offset)
            offset, view = offset + written, view[written:]

    def _fetch(self) -> None:
        """Have all bytes in the local file."""
        if self._fetched:
            return
        offset = 0
        for name in self._before:
            with self._unfinished.pieces.read(self._facts.id, name) as chunks:
                for chunk in chunks:
                    self._write_at(offset, chunk)
                    offset += len(chunk)
        if offset != self._offset:
            raise OSError(errno.EIO, f"pieces of {offset} bytes where {self._offset} should be", self._facts.id)
        self._fetched = True

    def _store(self, end: int) -> None:
        """Make a piece of what comes after the stored bytes; the upload's last byte is not before it is an image."""
        first, end, pieces = self._stored, min(end, self._facts.length - 1), [*self._pieces]
        if end <= first:
            return
        if len(pieces) >= MOST_PIECES and not self._joined:
            self._fetch()
            first, pieces, self._joined = 0, [], True
        for start in range(first, end, PIECE_BYTES):
            to = min(start + PIECE_BYTES, end)
            pieces.append(f"{start:014d}-{to:014d}-{self.turn}")
            data = os.pread(self._opened().fileno(), to - start, start)
            self._unfinished.pieces.put(self._facts.id, pieces[-1], data)
        self._record(end, tuple(pieces))

    def _record(self, stored: int, pieces: tuple[str, ...]) -> None:
        with as_os_error():
            if not self._unfinished.uploads.store(self._facts.id, self.turn, stored, pieces):
                raise Superseded("Another request goes on with this upload.")
        self._stored, self._pieces = stored, pieces


@contextmanager
def as_os_error() -> Iterator[None]:
    """A database that is away is, for whoever writes bytes, a disk that is."""
    try:
        yield
    except StoreError as error:
        raise OSError(errno.EIO, f"the database: {error}") from error

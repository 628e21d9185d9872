"""One upload on its way in: from a held slot to an image that is kept.

An `Upload` belongs to one thread. It ends in exactly one of two ways: `accept` (the promise: original and
record are on disk, the image ID is in the jobs channel) or `discard` (nothing is left, the slot is free again).
"""

from __future__ import annotations

import errno
import logging
import time
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from imgpool.errors import (
    DiskFull,
    ImageTooLarge,
    NoFile,
    NotAnImage,
    OverHeaderLimit,
    Refused,
    StoreFailed,
    UploadTooLarge,
)
from imgpool.imaging.formats import INPUT_FORMATS, SNIFF_BYTES, Format, check_header, sniff
from imgpool.imaging.model import Limits
from imgpool.pool import PoolClosed
from imgpool.service.engine import Slot
from imgpool.service.files import NewOriginal
from imgpool.service.records import NewImage, StoreError, StoreFull
from imgpool.service.stores import Stores

log = logging.getLogger(__name__)

MAX_NAME = 200


@dataclass(frozen=True, slots=True)
class Begun:
    """An upload of which some bytes are there already: how many, and the first of them."""

    original: NewOriginal
    size: int
    head: bytes


class Upload:
    """Bytes of one image being received. Made by `Service.admit`, and for `begun` ones by `Resumable`."""

    def __init__(
        self,
        image_id: str,
        slot: Slot,
        stores: Stores,
        *,
        max_bytes: int,
        limits: Limits,
        weigh: Callable[[Path], int],
        now: Callable[[], float] = time.time,
        begun: Begun | None = None,
    ) -> None:
        self.image_id = image_id
        self.bytes = begun.size if begun else 0
        self._slot = slot
        self._files, self._records = stores.files, stores.records
        self._max_bytes, self._limits = max_bytes, limits
        self._weigh = weigh
        self._now = now
        self._head = begun.head if begun else b""
        self._format: Format | None = None
        self._original: NewOriginal | None = begun.original if begun else None
        self._accepted = False

    def write(self, chunk: bytes | memoryview) -> None:
        """Take the next bytes; blocks on the disk. Raises `Refused` as soon as the upload cannot be accepted:
        too large, not an accepted format, or the disk would not have it.
        """
        self.bytes += len(chunk)
        if self.bytes > self._max_bytes:
            raise UploadTooLarge(f"The file is larger than {self._max_bytes} bytes: scale it down and upload it again.")
        if self._format is None:
            self._head += chunk[: SNIFF_BYTES - len(self._head)]
            if len(self._head) == SNIFF_BYTES:
                self._format = sniffed(self._head)
        try:
            if self._original is None:
                self._original = self._files.new_original(self.image_id)
            self._original.write(chunk)
        except OSError as error:
            raise store_refusal(error) from error

    def accept(self, name: str, owner: str | None = None) -> NewImage:
        """Keep the image, as `owner`'s: sync the original, record it, queue its ID. Blocks on the disk.

        When this returns, the image survives a crash. Raises `Refused` when it cannot be kept; then nothing is left.
        """
        if self._original is None:
            raise NoFile("The file is empty: choose one that has a picture in it.")
        image_format = self._format or sniffed(self._head)
        try:
            path = self._original.path()
            size = check_header(path, self._limits)
        except ImageTooLarge as error:
            raise OverHeaderLimit(str(error)) from error
        except OSError as error:
            raise store_refusal(error) from error
        width, height = size or (None, None)
        weight = self._weigh(path)
        image = NewImage(
            self.image_id,
            clean_name(name),
            self.bytes,
            image_format.name,
            width,
            height,
            received_at=self._now(),
            owner=owner,
        )
        try:
            self._original.commit()
            self._records.add(image)
        except (OSError, StoreError) as error:
            try:
                self._original.withdraw()
            except OSError as left:  # without a record: the next start's sweep removes it
                log.error("what came of a refused upload is left until the next start: %s", left)
            raise store_refusal(error) from error
        self._accepted = True
        try:
            self._slot.send(self.image_id, weight=weight)
        except PoolClosed:
            # The drain deadline passed while this body came in. The record is on disk: the next start takes it up.
            log.warning("image %s waits for the next start", self.image_id)
        return image

    def discard(self) -> None:
        """Leave nothing and give the slot back; nothing after `accept`. Idempotent."""
        if self._accepted:
            return
        try:
            if self._original is not None:
                self._original.discard()
        finally:
            self._slot.release()


def sniffed(head: bytes) -> Format:
    """The format that the first bytes are of; raises `NotAnImage`."""
    found = sniff(head)
    if found is None:
        names = ", ".join(image_format.label for image_format in INPUT_FORMATS)
        raise NotAnImage(f"The file's bytes are not of an accepted format; accepted are {names}.")
    return found


def store_refusal(error: OSError | StoreError) -> Refused:
    """What to answer when disk or records do not take an upload. Logs why."""
    log.error("an upload could not be stored: %s", error)
    if isinstance(error, StoreFull) or (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)):
        return DiskFull("The server's disk is full: try again later.", retry_after_s=60)
    return StoreFailed("The server could not store the upload: try again later.", retry_after_s=10)


def clean_name(name: str) -> str:
    """A file name fit to be shown: no folders, no control or direction-changing characters, at most `MAX_NAME`.

    It is shown and never used as a path.
    """
    base = name.replace("\\", "/").rsplit("/", 1)[-1]
    kept = "".join(
        character for character in base if unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp")
    )
    return kept.strip()[:MAX_NAME] or "unnamed"

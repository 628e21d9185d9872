"""`Files` on S3: originals and variants as objects, local disk only for what is on its way.

`PREFIX/originals/ID` is an original, `PREFIX/variants/ID/TOKEN/FILENAME` a variant. Each attempt at an image publishes
under a token of its own, which its record names: so the record is the switch from none to all variants, a second
attempt never overwrites what somebody reads, and one that was given up leaves nothing that anybody can see.

Never holds a whole file in memory and keeps nothing on the local disk that is still needed after a crash.
"""

from __future__ import annotations

import errno
import mimetypes
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

from imgpool.scaleout.bucket import Bucket
from imgpool.scaleout.pieces import S3Pieces
from imgpool.scaleout.scratch import Scratch
from imgpool.service.files import NewOriginal, is_image_id

IMMUTABLE = "public, max-age=31536000, immutable"
LEFT_AFTER_S = 86_400.0  # far longer than the time between an object and its record


class S3Files:
    """See `Files` for each method's contract. Threads share it; a forked child makes its own.

    What a crash left is removed when it is `left_after_s` old: other hosts may be at work on what is younger.
    """

    def __init__(self, bucket: Bucket, scratch: Path, *, left_after_s: float = LEFT_AFTER_S) -> None:
        self._bucket = bucket
        self._scratch = Scratch(scratch)
        self._left_after = timedelta(seconds=left_after_s)

    def close(self) -> None:
        """Remove the local directory; idempotent."""
        self._bucket.close()
        self._scratch.close()

    def new_original(self, image_id: str) -> NewOriginal:
        """See `Files.new_original`."""
        return _Incoming(self._bucket, _original(image_id), self._scratch.file(image_id))

    def adopt(self, image_id: str, path: Path) -> None:
        """See `Files.adopt`."""
        self._bucket.put(_original(image_id), path)

    @contextmanager
    def original(self, image_id: str) -> Iterator[Path]:
        """See `Files.original`: a copy, that is gone at the end."""
        path = self._scratch.file(image_id)
        try:
            with path.open("xb") as file, self._bucket.read(_original(image_id)) as chunks:
                for chunk in chunks:
                    file.write(chunk)
            yield path
        finally:
            path.unlink(missing_ok=True)

    def stage(self, image_id: str) -> Path:
        """See `Files.stage`."""
        return self._scratch.directory(f"staged-{image_id}")

    def publish(self, image_id: str, staged: Path) -> str:
        """See `Files.publish`: nobody can see the variants before a record has the names that this makes."""
        prefix = f"{secrets.token_hex(8)}/"
        folder = _variants(image_id) + prefix
        try:
            for path in staged.iterdir():
                kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
                self._bucket.put(folder + path.name, path, ContentType=kind, CacheControl=IMMUTABLE)
        except OSError:
            with suppress(OSError):  # it costs space until the image is deleted, and nothing else
                self._bucket.delete_below(folder)
            raise
        return prefix

    def unstage(self, staged: Path) -> None:
        """See `Files.unstage`."""
        shutil.rmtree(staged, ignore_errors=True)

    def variant(self, image_id: str, filename: str) -> S3Variant:
        """See `Files.variant`."""
        return S3Variant(self._bucket, _variants(image_id) + filename)

    def withdraw(self, image_id: str, prefix: str) -> None:
        """Remove what an attempt published whose end nobody wanted to know; idempotent."""
        self._bucket.delete_below(_variants(image_id) + prefix)

    def delete(self, image_id: str) -> None:
        """See `Files.delete`."""
        self._bucket.delete_below(_variants(image_id))
        self._bucket.delete(_original(image_id))

    def sweep(self, known: Callable[[Iterable[str]], set[str]], within: str = "") -> int:
        """See `Files.sweep`; at any time, beside everything else. Only image IDs that begin with `within`, so that a
        large store can be swept piece by piece.
        """
        removed = 0
        for kind in ("originals/", "variants/"):
            for page in self._bucket.pages(kind + within):
                limit = page.moment - self._left_after
                old = {key: _image_id(key) for key, changed in page.objects if changed <= limit}
                ids = {image_id for image_id in old.values() if image_id is not None}
                without = ids - known(ids) if ids else set()
                for key, image_id in old.items():
                    if image_id in without:
                        self._bucket.delete(key)
                removed += len(without)
        self._bucket.abort_parts_before(self._left_after)
        return removed

    def pieces(self) -> S3Pieces:
        """Where the bytes of unfinished uploads lie."""
        return S3Pieces(self._bucket)

    def free_bytes(self) -> int:
        """See `Files.free_bytes`: of the local disk, which S3 has no such number for. While S3 does not answer, nobody
        else is to send it a file.
        """
        if not self._bucket.answers:
            raise OSError(errno.EIO, "S3 does not answer", self._bucket.url)
        return self._scratch.free_bytes()


class S3Variant:
    """A `RemoteVariant`."""

    def __init__(self, bucket: Bucket, key: str) -> None:
        self._bucket, self._key = bucket, key

    @property
    def version(self) -> str:
        """The attempt's token: other bytes have another one."""
        return self._key.rsplit("/", 2)[1]

    @contextmanager
    def read(self, first: int = 0, last: int | None = None) -> Iterator[Iterator[bytes]]:
        """See `RemoteVariant.read`."""
        with self._bucket.read(self._key, first, last) as chunks:
            yield chunks

    def url(self, valid_s: int, content_type: str) -> str:
        """See `RemoteVariant.url`."""
        return self._bucket.signed_url(
            self._key, valid_s, ResponseContentType=content_type, ResponseCacheControl=IMMUTABLE
        )


class _Incoming:
    """A `NewOriginal` that lies on the local disk until it is whole: its header is read there, and an upload that is
    refused costs S3 nothing.
    """

    def __init__(self, bucket: Bucket, key: str, path: Path) -> None:
        self._bucket, self._key, self._path = bucket, key, path
        self._file: BinaryIO | None = path.open("xb", buffering=0)

    def write(self, chunk: bytes | memoryview) -> None:
        assert self._file is not None  # noqa: S101
        view = memoryview(chunk)
        while view:
            view = view[self._file.write(view) :]

    def path(self) -> Path:
        return self._path

    def commit(self) -> None:
        self._bucket.put_new(self._key, self._path)
        self.discard()

    def withdraw(self) -> None:
        """It stays: the record may have been made although the database's answer was lost, and is worth nothing without
        its original. A sweep finds it when there is none.
        """

    def discard(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        self._path.unlink(missing_ok=True)


def _original(image_id: str) -> str:
    return f"originals/{image_id}"


def _variants(image_id: str) -> str:
    return f"variants/{image_id}/"


def _image_id(key: str) -> str | None:
    """The image that an object belongs to; None for what is not ours."""
    name = key.split("/")[1]
    return name if is_image_id(name) else None

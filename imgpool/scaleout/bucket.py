"""A folder of an S3 bucket, with the few things that are done to its objects.

Errors, times and credentials are `endpoint`'s. Knows nothing of images.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, BinaryIO

from botocore.exceptions import BotoCoreError, ClientError

from imgpool.errors import SettingError
from imgpool.scaleout.endpoint import Endpoint, lasting

COPY_BYTES = 256 * 1024
PART_BYTES = 16 * 1024 * 1024  # what is larger goes in parts of this size: a part that fails is sent again, not all
KEPT_CONNECTIONS = 256  # as many as threads that may use it at once; more would be made, and closed after one use
OURS = "imgpool-put"  # the name of the mark by which a repeated put finds that it had worked


@dataclass(frozen=True, slots=True)
class Page:
    """Some objects, by key and the time of their last change, and the moment of this look, both by S3's clock."""

    objects: tuple[tuple[str, datetime], ...]
    moment: datetime


class Bucket:
    """`s3://BUCKET/PREFIX`, whose keys are given without the prefix. Every method blocks on the network, any thread may
    call it, and it raises OSError. Raises `SettingError` when made with what is no such URL or endpoint.
    """

    def __init__(self, url: str, endpoint: str | None = None, *, connections: int = KEPT_CONNECTIONS) -> None:
        self.url, self.endpoint = url, endpoint
        self._name, _, prefix = url.removeprefix("s3://").partition("/")
        if not url.startswith("s3://") or not self._name:
            raise SettingError(f"--files: {url!r} is not allowed; allowed: s3://BUCKET or s3://BUCKET/PREFIX")
        self._prefix = prefix.rstrip("/") + "/" if prefix.rstrip("/") else ""
        self._s3 = Endpoint(endpoint, self._name, connections=connections)

    def close(self) -> None:
        """Let go of what waits for S3 to come back; idempotent."""
        self._s3.close()

    @property
    def answers(self) -> bool:
        """False from the moment when S3 did not answer somebody until it does. Blocks on nothing."""
        return self._s3.answers

    def check(self) -> None:
        """Whether the bucket can be used. Raises `SettingError` for what will not mend itself, OSError for the rest."""
        try:
            with self._s3.asked(self.url):
                self._s3.client.head_bucket(Bucket=self._name)
        except OSError as error:
            if (reason := lasting(error.__cause__)) is not None:
                raise SettingError(f"--files: {self.url!r} cannot be used: {reason}") from error
            raise

    # Objects

    def put(self, key: str, path: Path, **extra: str) -> None:
        """Store a file, instead of what is there; kept when this returns."""
        self._put(key, path, extra)

    def put_bytes(self, key: str, data: bytes) -> None:
        """Store these bytes; kept when this returns."""
        with self._s3.asked(key):
            self._s3.client.put_object(Body=data, **self._where(key))

    def put_new(self, key: str, path: Path) -> None:
        """Store a file where nothing is yet. Raises FileExistsError, and leaves what is there."""
        mark = secrets.token_hex(8)
        try:
            self._put(key, path, {"Metadata": {OURS: mark}}, {"IfNoneMatch": "*"})
        except FileExistsError:
            with self._s3.asked(key):  # the client asks a second time when an answer was lost: then it is ours
                there = self._s3.client.head_object(**self._where(key))
            if there["Metadata"].get(OURS) != mark:
                raise

    @contextmanager
    def read(self, key: str, first: int = 0, last: int | None = None) -> Iterator[Iterator[bytes]]:
        """The object's bytes from `first` to `last` inclusive, in chunks. Raises FileNotFoundError here, and OSError
        also from the chunks, when fewer come than were promised.
        """
        whole = first == 0 and last is None
        extra = {} if whole else {"Range": f"bytes={first}-{'' if last is None else last}"}
        with self._s3.asked(key):
            body = self._s3.client.get_object(**self._where(key), **extra)["Body"]  # type: ignore[arg-type]
        try:
            yield self._chunks(body, key)
        finally:
            body.close()

    def _chunks(self, body: Any, key: str) -> Iterator[bytes]:
        with self._s3.asked(key):
            yield from body.iter_chunks(COPY_BYTES)

    def signed_url(self, key: str, valid_s: int, **extra: str) -> str:
        """A URL by which anybody may read the object for so long. Blocks on nothing but, at first, on credentials."""
        with self._s3.asked(key):
            return self._s3.client.generate_presigned_url(
                "get_object", Params={**self._where(key), **extra}, ExpiresIn=valid_s
            )

    def delete(self, key: str) -> None:
        """Remove an object; idempotent."""
        with suppress(FileNotFoundError), self._s3.asked(key):  # as some stores say of one that is not there
            self._s3.client.delete_object(**self._where(key))

    def delete_below(self, folder: str) -> None:
        """Remove all objects whose key begins so; idempotent."""
        for page in self.pages(folder):
            for key, _ in page.objects:
                self.delete(key)

    def pages(self, folder: str) -> Iterator[Page]:
        """All objects whose key begins so, in the order of their keys, a thousand at a time."""
        after: dict[str, str] = {}
        while True:
            with self._s3.asked(folder):
                found = self._s3.client.list_objects_v2(Bucket=self._name, Prefix=self._prefix + folder, **after)  # type: ignore[arg-type]
            objects = tuple(
                (each["Key"].removeprefix(self._prefix), each["LastModified"]) for each in found.get("Contents", ())
            )
            yield Page(objects, _moment(found))
            if not found.get("IsTruncated"):
                return
            after = {"ContinuationToken": found["NextContinuationToken"]}

    # Uploads in parts, which take room until they end

    def abort_parts_before(self, age: timedelta) -> None:
        """Give back the room of those that were begun so long ago: whoever began them is gone."""
        for key, upload_id, begun_s in self._begun():
            if begun_s >= age.total_seconds():
                with suppress(FileNotFoundError), self._s3.asked(key):  # another host was sooner
                    self._s3.client.abort_multipart_upload(**self._where(key), UploadId=upload_id)

    def _begun(self) -> list[tuple[str, str, float]]:
        with self._s3.asked("uploads in parts"):
            found = self._s3.client.list_multipart_uploads(Bucket=self._name, Prefix=self._prefix)
        moment = _moment(found)
        return [
            (each["Key"].removeprefix(self._prefix), each["UploadId"], (moment - each["Initiated"]).total_seconds())
            for each in found.get("Uploads", ())
        ]

    def _where(self, key: str) -> dict[str, Any]:
        return {"Bucket": self._name, "Key": self._prefix + key}

    def _put(self, key: str, path: Path, described: dict[str, Any], condition: dict[str, Any] | None = None) -> None:
        where = self._where(key)
        condition = condition or {}
        with self._s3.asked(key), path.open("rb") as file:
            if os.fstat(file.fileno()).st_size <= PART_BYTES:
                self._s3.client.put_object(Body=file, **where, **described, **condition)
                return
            where["UploadId"] = self._s3.client.create_multipart_upload(**where, **described)["UploadId"]
            try:
                parts = list(self._parts(file, where))
                self._s3.client.complete_multipart_upload(MultipartUpload={"Parts": parts}, **where, **condition)
            except BaseException:
                with suppress(BotoCoreError, ClientError):  # then a sweep does it
                    self._s3.client.abort_multipart_upload(**where)
                raise

    def _parts(self, file: BinaryIO, where: dict[str, Any]) -> Iterator[Any]:
        number = 1
        while part := file.read(PART_BYTES):
            etag = self._s3.client.upload_part(Body=part, PartNumber=number, **where)["ETag"]
            yield {"ETag": etag, "PartNumber": number}
            number += 1


def _moment(answer: Any) -> datetime:
    """When S3 answered, by its own clock."""
    return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])

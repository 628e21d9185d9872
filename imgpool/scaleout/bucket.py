"""A folder of an S3 bucket, with the few things that are done to its objects.

Owns the boto3 client: credentials come as AWS's own tools find them (environment, ~/.aws, the role of the machine or
pod). Every error of S3 or of the way there is an OSError here: FileNotFoundError when an object is not there, ENOSPC
when there is no room, EIO for all else. Nothing waits for long: a store that does not answer costs a thread seconds.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

from imgpool.errors import SettingError

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

COPY_BYTES = 256 * 1024
PART_BYTES = 16 * 1024 * 1024  # what is larger goes in parts of this size: a part that fails is sent again, not all
CONNECT_S, ANSWER_S = 2, 10
ATTEMPTS = 2
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
        try:
            self._client = _client(endpoint, connections)
        except ValueError as error:
            raise SettingError(f"--s3-endpoint: {endpoint!r} is not allowed: {error}") from None

    def check(self) -> None:
        """Whether the bucket can be used. Raises `SettingError` for what will not mend itself, OSError for the rest."""
        try:
            with _as_os_error(self.url):
                self._client.head_bucket(Bucket=self._name)
        except OSError as error:
            if (reason := _lasting(error.__cause__)) is not None:
                raise SettingError(f"--files: {self.url!r} cannot be used: {reason}") from error
            raise

    # Objects

    def put(self, key: str, path: Path, **extra: str) -> None:
        """Store a file, instead of what is there; kept when this returns."""
        self._put(key, path, extra)

    def put_bytes(self, key: str, data: bytes) -> None:
        """Store these bytes; kept when this returns."""
        with _as_os_error(key):
            self._client.put_object(Body=data, **self._where(key))

    def put_new(self, key: str, path: Path) -> None:
        """Store a file where nothing is yet. Raises FileExistsError, and leaves what is there."""
        mark = secrets.token_hex(8)
        try:
            self._put(key, path, {"Metadata": {OURS: mark}}, {"IfNoneMatch": "*"})
        except FileExistsError:
            with _as_os_error(key):  # the client asks a second time when an answer was lost: then it is ours
                there = self._client.head_object(**self._where(key))
            if there["Metadata"].get(OURS) != mark:
                raise

    @contextmanager
    def read(self, key: str, first: int = 0, last: int | None = None) -> Iterator[Iterator[bytes]]:
        """The object's bytes from `first` to `last` inclusive, in chunks. Raises FileNotFoundError here, and OSError
        also from the chunks, when fewer come than were promised.
        """
        whole = first == 0 and last is None
        extra = {} if whole else {"Range": f"bytes={first}-{'' if last is None else last}"}
        with _as_os_error(key):
            body = self._client.get_object(**self._where(key), **extra)["Body"]  # type: ignore[arg-type]
        try:
            yield _chunks(body, key)
        finally:
            body.close()

    def signed_url(self, key: str, valid_s: int, **extra: str) -> str:
        """A URL by which anybody may read the object for so long. Blocks on nothing but, at first, on credentials."""
        with _as_os_error(key):
            return self._client.generate_presigned_url(
                "get_object", Params={**self._where(key), **extra}, ExpiresIn=valid_s
            )

    def delete(self, key: str) -> None:
        """Remove an object; idempotent."""
        with _as_os_error(key), suppress(FileNotFoundError):
            self._client.delete_object(**self._where(key))

    def delete_below(self, folder: str) -> None:
        """Remove all objects whose key begins so; idempotent."""
        for page in self.pages(folder):
            for key, _ in page.objects:
                self.delete(key)

    def pages(self, folder: str) -> Iterator[Page]:
        """All objects whose key begins so, in the order of their keys, a thousand at a time."""
        after: dict[str, str] = {}
        while True:
            with _as_os_error(folder):
                found = self._client.list_objects_v2(Bucket=self._name, Prefix=self._prefix + folder, **after)  # type: ignore[arg-type]
            objects = tuple(
                (each["Key"].removeprefix(self._prefix), each["LastModified"]) for each in found.get("Contents", ())
            )
            yield Page(objects, _moment(found))
            if not found.get("IsTruncated"):
                return
            after = {"ContinuationToken": found["NextContinuationToken"]}

    # Uploads in parts, which take room until they end

    def begin_parts(self, key: str, **described: Any) -> str:
        """Begin an upload in parts; returns its ID."""
        with _as_os_error(key):
            return self._client.create_multipart_upload(**self._where(key), **described)["UploadId"]

    def parts_begun(self) -> list[str]:
        """The keys of those that have not ended."""
        return [key for key, _, _ in self._begun()]

    def abort_parts_before(self, age: timedelta) -> None:
        """Give back the room of those that were begun so long ago: whoever began them is gone."""
        for key, upload_id, begun_s in self._begun():
            if begun_s >= age.total_seconds():
                with _as_os_error(key):
                    self._client.abort_multipart_upload(**self._where(key), UploadId=upload_id)

    def _begun(self) -> list[tuple[str, str, float]]:
        with _as_os_error("uploads in parts"):
            found = self._client.list_multipart_uploads(Bucket=self._name, Prefix=self._prefix)
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
        with _as_os_error(key), path.open("rb") as file:
            if os.fstat(file.fileno()).st_size <= PART_BYTES:
                self._client.put_object(Body=file, **where, **described, **condition)
                return
            where["UploadId"] = self._client.create_multipart_upload(**where, **described)["UploadId"]
            try:
                parts = list(self._parts(file, where))
                self._client.complete_multipart_upload(MultipartUpload={"Parts": parts}, **where, **condition)
            except BaseException:
                with suppress(BotoCoreError, ClientError):  # then a sweep does it
                    self._client.abort_multipart_upload(**where)
                raise

    def _parts(self, file: BinaryIO, where: dict[str, Any]) -> Iterator[Any]:
        number = 1
        while part := file.read(PART_BYTES):
            etag = self._client.upload_part(Body=part, PartNumber=number, **where)["ETag"]
            yield {"ETag": etag, "PartNumber": number}
            number += 1


def _client(endpoint: str | None, connections: int) -> S3Client:
    another = {  # than AWS: not all know the checksums that came in 2025, and few have a host name for each bucket
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
        "s3": {"addressing_style": "path"},
    }
    config = Config(
        signature_version="s3v4",
        connect_timeout=CONNECT_S,
        read_timeout=ANSWER_S,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        max_pool_connections=connections,
        **(another if endpoint else {}),  # type: ignore[arg-type]
    )
    return boto3.session.Session().client("s3", endpoint_url=endpoint, config=config)


def _chunks(body: Any, key: str) -> Iterator[bytes]:
    with _as_os_error(key):
        yield from body.iter_chunks(COPY_BYTES)


def _moment(answer: Any) -> datetime:
    """When S3 answered, by its own clock."""
    return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])


@contextmanager
def _as_os_error(what: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if code in ("NoSuchKey", "NoSuchUpload", "404"):
            number = errno.ENOENT
        elif status == 412:
            number = errno.EEXIST
        elif status == 507:
            number = errno.ENOSPC
        else:
            number = errno.EIO
        raise OSError(number, f"S3: {error}", what) from error
    except BotoCoreError as error:
        raise OSError(errno.EIO, f"S3: {error}", what) from error


def _lasting(error: BaseException | None) -> str | None:
    """The reason of an error that stays until a person does something."""
    if isinstance(error, (NoCredentialsError, PartialCredentialsError)):
        return "there are no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or another of AWS's ways"
    if isinstance(error, ClientError):
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status == 404:
            return "there is no such bucket; make it, or name another"
        if status in (401, 403):
            return "these credentials may not use it, or are wrong"
    return None

"""An S3 server as one process sees it: the client, what its errors mean, and whether it answers.

Owns the boto3 client: credentials come as AWS's own tools find them (environment, ~/.aws, the role of the machine or
pod). Every error of S3 or of the way there is an OSError here: FileNotFoundError when an object is not there, ENOSPC
when there is no room, EIO for all else. Nothing waits for long: a store that does not answer costs a thread seconds,
and one thread goes on asking then, so that nobody else has to find out.
"""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
)
from botocore.handlers import add_expect_header

from imgpool.errors import SettingError
from imgpool.pool import Context

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

log = logging.getLogger(__name__)

CONNECT_S, ANSWER_S = 2, 5
ATTEMPTS = 2
LOOK_S = 1.0  # between two questions whether it is back
SERVER_ERROR = 500


class Endpoint:
    """The server at a URL, or Amazon's; `bucket` is what is asked for to see whether it answers. Any thread may call
    any method. Raises `SettingError` for a URL that is none.
    """

    def __init__(self, url: str | None, bucket: str, *, connections: int) -> None:
        self._url, self._bucket = url, bucket
        try:
            self.client = _client(url, connections, ANSWER_S, ATTEMPTS)
        except ValueError as error:
            raise SettingError(f"--s3-endpoint: {url!r} is not allowed: {error}") from None
        self._closing = Context()
        self._lock = threading.Lock()  # of the looker
        self._looker: threading.Thread | None = None  # while it does not answer

    def close(self) -> None:
        """Look no longer whether it is back; idempotent. Blocks for a question that is under way."""
        self._closing.cancel("it is closed")
        with self._lock:
            looker = self._looker
        if looker is not None:
            looker.join()

    @property
    def answers(self) -> bool:
        """Whether it did when it was last asked. Blocks on nothing."""
        return self._looker is None

    @contextmanager
    def asked(self, what: str) -> Iterator[None]:
        """Whatever goes wrong with the client inside is an OSError about this key, and noticed."""
        try:
            yield
        except ClientError as error:
            if _status(error) >= SERVER_ERROR and _status(error) != 507:
                self._look_soon(error)
            raise OSError(_number(error), f"S3: {error}", what) from error
        except BotoCoreError as error:
            if isinstance(error, (HTTPClientError, ConnectionError)):
                self._look_soon(error)
            raise OSError(errno.EIO, f"S3: {error}", what) from error

    def _look_soon(self, error: Exception) -> None:
        with self._lock:
            if self._looker is not None or self._closing.done:
                return
            looker = threading.Thread(target=self._look, args=(error,), name="imgpool-s3-look", daemon=True)
            looker.start()
            self._looker = looker

    def _look(self, error: Exception) -> None:
        """Until it answers: one that only stumbled does so at once, and is not called away."""
        away = False
        try:
            with closing(_client(self._url, 1, CONNECT_S, 1)) as client:
                while not self._answered(client):
                    if not away:
                        log.error("S3 is away: %s", error)
                        away = True
                    if self._closing.wait(LOOK_S):
                        return
        except Exception:  # no file descriptor is left for a client, say: whoever finds it away next begins anew
            log.exception("nobody looks whether S3 is back")
            return
        finally:
            with self._lock:
                self._looker = None
        if away:
            log.warning("S3 is back")

    def _answered(self, client: S3Client) -> bool:
        try:
            client.head_bucket(Bucket=self._bucket)
        except ClientError as error:
            return _status(error) < SERVER_ERROR
        except BotoCoreError:
            return False
        return True


def lasting(error: BaseException | None) -> str | None:
    """The reason of an error that stays until a person does something."""
    if isinstance(error, (NoCredentialsError, PartialCredentialsError)):
        return "there are no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or another of AWS's ways"
    if isinstance(error, ClientError):
        if _status(error) == 404:
            return "there is no such bucket; make it, or name another"
        if _status(error) in (401, 403):
            return "these credentials may not use it, or are wrong"
    return None


def _number(error: ClientError) -> int:
    if error.response["Error"]["Code"] in ("NoSuchKey", "NoSuchUpload", "404"):
        return errno.ENOENT
    return {412: errno.EEXIST, 507: errno.ENOSPC}.get(_status(error), errno.EIO)


def _status(error: ClientError) -> int:
    return int(error.response["ResponseMetadata"]["HTTPStatusCode"])


def _client(url: str | None, connections: int, answer_s: float, attempts: int) -> S3Client:
    another = {  # than AWS: not all know the checksums that came in 2025, and few have a host name for each bucket
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
        # Over TLS nobody can change the bytes on their way. A hash of them in the signature would be read off the disk
        # for nothing: 1.3 ms for a photo of 2.6 MB where the processor knows SHA-256, and several times that elsewhere.
        "s3": {"addressing_style": "path", "payload_signing_enabled": not (url or "").startswith("https:")},
    }
    config = Config(
        signature_version="s3v4",
        connect_timeout=CONNECT_S,
        read_timeout=answer_s,
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=connections,
        **(another if url else {}),  # type: ignore[arg-type]
    )
    client = boto3.session.Session().client("s3", endpoint_url=url, config=config)
    # `Expect: 100-continue` has each file wait for an answer to its headers. It spares one that is refused at them its
    # way there; and nearly none is.
    client.meta.events.unregister("before-call.s3", add_expect_header)
    return client

"""Admission of uploads: what can be said of one at its headers, and the slot that it then holds.

Owns how many uploads each client address has open. A server may ask `admit_at_once`, which blocks on nothing, before it
spends a thread: imgpool's own gunicorn worker does and passes the `Admitted` on in the request's environment, others
leave it to the view.
"""

from __future__ import annotations

import ipaddress
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from werkzeug import Request

from imgpool.errors import TooManyUploads, UploadTooLarge
from imgpool.service import Service, Upload

ADMITTED = "imgpool.admitted"
"""WSGI environment key: the `Admitted` of this request, when the server asked for it already."""

END_BODY = "imgpool.end_body"
"""WSGI environment key: a function that ends the body of this request for whoever waits for it, from any thread."""


class Admitted:
    """An upload that may send its body. Whoever made it closes it; `close` is idempotent, from any thread."""

    def __init__(self, upload: Upload, leave: Callable[[], None]) -> None:
        self._upload: Upload | None = upload
        self._leave = leave
        self._lock = threading.Lock()
        self._open = True

    def take(self) -> Upload:
        """The slot, once: whoever takes it ends it."""
        upload = self._taken()
        assert upload is not None, "taken twice"  # noqa: S101
        return upload

    def close(self) -> None:
        """The request has ended: give back the slot if nobody took it, and the client's place."""
        with self._lock:
            was_open, self._open = self._open, False
        if was_open:
            if (upload := self._taken()) is not None:
                upload.discard()
            self._leave()

    def _taken(self) -> Upload | None:
        with self._lock:
            upload, self._upload = self._upload, None
        return upload


class Admission:
    """Grants slots. Any thread may call any method."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._most = service.settings.max_uploads_per_client
        self._lock = threading.Lock()
        self._open: Counter[str] = Counter()

    def admit(self, request: Request) -> Admitted:
        """A slot for a request whose body is unread. Raises `Refused`, not counted yet: `UploadTooLarge` by its own
        account, `TooManyUploads`, or as `Service.admit` does.
        """
        admitted = self._admit(request, self._service.admit)
        assert admitted is not None  # noqa: S101
        return admitted

    def admit_at_once(self, request: Request) -> Admitted | None:
        """As `admit`, and never blocks: None where that would (see `Service.admit_at_once`)."""
        return self._admit(request, self._service.admit_at_once)

    def _admit(self, request: Request, ask: Callable[[], Upload | None]) -> Admitted | None:
        settings = self._service.settings
        form = request.mimetype == "multipart/form-data"
        limit = settings.max_request_bytes if form else settings.max_upload_bytes
        if request.content_length is not None and request.content_length > limit:
            raise UploadTooLarge(f"The upload has {request.content_length} bytes; at most {limit} are accepted.")
        leave = self.enter(request)
        try:
            upload = ask()
        except BaseException:
            leave()
            raise
        if upload is None:
            leave()
            return None
        return Admitted(upload, leave)

    def enter(self, request: Request) -> Callable[[], None]:
        """Count one more open upload of this client, until what is returned is called. Raises `TooManyUploads`."""
        client = address_key(request.remote_addr) if self._most else ""
        self._enter(client)
        return lambda: self._leave(client)

    @contextmanager
    def held(self, request: Request) -> Iterator[Admitted]:
        """The slot that the server got for this request, or one got now; closed at the end. Raises as `admit`."""
        admitted: Admitted = request.environ.pop(ADMITTED, None) or self.admit(request)
        try:
            yield admitted
        finally:
            admitted.close()

    def _enter(self, client: str) -> None:
        if not self._most:
            return
        with self._lock:
            if self._open[client] >= self._most:
                raise TooManyUploads(
                    f"Your address has {self._open[client]} uploads open, and no more are taken at once: "
                    "try again when one of them has ended.",
                    retry_after_s=self._service.retry_after_s(self._open[client]),
                )
            self._open[client] += 1

    def _leave(self, client: str) -> None:
        if not self._most:
            return
        with self._lock:
            self._open[client] -= 1
            if not self._open[client]:
                del self._open[client]


def address_key(address: str | None) -> str:
    """What counts as one client: an IPv4 address, or the /64 that an IPv6 client can take all its addresses from."""
    try:
        parsed = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return address or ""
    if parsed.version == 6:
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)

"""Reading the bodies of uploads: each image streams from the socket into its own original, and nowhere else.

A slot is held before the first byte of a body is read (`imgpool.web.admission`), and in a form with many files
before each further file. What is refused is skipped, not stored. Nothing is held whole, in memory or in a
temporary file.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from flask import Request
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.sansio.multipart import Data, Epilogue, Event, Field, File, MultipartDecoder, NeedData, State

from imgpool.errors import Draining, Incomplete, NoFile, Refused, TooManyFiles, TooSlow, UploadTooLarge
from imgpool.service import Service, Upload
from imgpool.service.records import NewImage
from imgpool.service.upload import clean_name
from imgpool.web.admission import Admission

log = logging.getLogger(__name__)

# Asked for at once: receiving a photo of 2.6 MB costs 3.1 ms of CPU, with 64 KiB 3.8, and with more no less.
CHUNK_BYTES = 256 * 1024
FORM_CHUNK_BYTES = 64 * 1024  # the decoder copies what it gets: larger pieces the allocator fetches from the kernel
MAX_DECODER_BYTES = 8 * FORM_CHUNK_BYTES  # bounds what a part's headers may hold
MAX_FIELDS = 100  # parts of a form that are no files


@dataclass
class Received:
    """What became of the images of one request, in the order in which they came; "" is the name of a whole request."""

    accepted: list[NewImage] = field(default_factory=list)
    refused: list[tuple[str, Refused]] = field(default_factory=list)


def receive(service: Service, admission: Admission, request: Request, owner: str | None = None) -> Received:
    """Take all images of a request, as `owner`'s. Blocks on the client and the disk. Never raises `Refused`:
    refusals are in the result, and counted. At least one image is accepted or refused.
    """
    receiver = _Receiver(service, owner)
    name = request.args.get("name", "")
    try:
        with admission.held(request) as admitted:
            if request.mimetype == "multipart/form-data":
                receiver.form(request, admitted.take())
            else:
                receiver.raw(request, name, admitted.take())
    except Refused as refusal:
        receiver.refuse(name, refusal)
    finally:
        receiver.discard()
    return receiver.received


class _Receiver:
    """One request's images. `_upload` is the one being received, or a slot taken ahead for the next."""

    def __init__(self, service: Service, owner: str | None) -> None:
        self.received = Received()
        self._service, self._owner = service, owner
        self._upload: Upload | None = None
        self._name: str | None = None  # of the part being received; None: this part is skipped
        self._files = 0

    def refuse(self, name: str, refusal: Refused) -> None:
        self._service.count_refused(refusal)
        self.received.refused.append((clean_name(name) if name else "", refusal))

    def discard(self) -> None:
        if self._upload is not None:
            self._upload.discard()
            self._upload = None

    def raw(self, request: Request, name: str, upload: Upload) -> None:
        """The body is the image."""
        self._upload = upload
        for chunk in chunks(request, self._service):
            upload.write(chunk)
        self._accept(name)

    def form(self, request: Request, upload: Upload) -> None:
        """Every part named `file` is an image."""
        self._upload = upload
        try:
            for event in _events(request, self._service):
                if isinstance(event, (File, Field)):
                    self._begin_part(event)
                elif isinstance(event, Data) and self._name is not None:
                    self._continue_part(self._name, event)
        except Refused as refusal:  # the rest of the body cannot be read
            self.refuse(self._name or "", refusal)
        if not self.received.accepted and not self.received.refused:
            raise NoFile("The form holds no file: add at least one part named 'file'.")

    def _begin_part(self, part: File | Field) -> None:
        self._name = None
        filename = part.filename if isinstance(part, File) else None
        if part.name != "file" or filename == "":  # "" is what a browser sends when nothing was chosen
            return
        self._files += 1
        if self._files > self._service.settings.max_files:
            raise TooManyFiles(
                f"At most {self._service.settings.max_files} files are taken in one request: "
                "those from here on were not read; send them in another one."
            )
        name = filename or "unnamed"
        try:
            self._upload = self._upload or self._service.admit()
            self._name = name
        except Refused as refusal:
            self.refuse(name, refusal)

    def _continue_part(self, name: str, event: Data) -> None:
        assert self._upload is not None  # noqa: S101
        try:
            if event.data:
                self._upload.write(event.data)
            if not event.more_data:
                self._accept(name)
                self._name = None
        except Refused as refusal:
            self.refuse(name, refusal)
            self.discard()
            self._name = None

    def _accept(self, name: str) -> None:
        assert self._upload is not None  # noqa: S101
        self.received.accepted.append(self._upload.accept(name, self._owner))
        self._service.count_accepted()
        self._upload = None


def _events(request: Request, service: Service) -> Iterator[Event]:
    max_bytes = service.settings.max_request_bytes
    max_parts = service.settings.max_files + MAX_FIELDS
    boundary = request.mimetype_params.get("boundary", "")
    if not boundary:
        raise NoFile("The form has no boundary in its Content-Type: let the HTTP client write that header.")
    decoder = MultipartDecoder(boundary.encode("latin-1", "replace"), MAX_DECODER_BYTES, max_parts=max_parts)
    read = parts = 0
    try:
        for chunk in chunks(request, service, FORM_CHUNK_BYTES):
            read += len(chunk)
            if read > max_bytes:
                raise UploadTooLarge(f"The request has more than {max_bytes} bytes: send less at once.")
            if decoder.state is State.EPILOGUE:
                continue  # every part has come; what somebody put behind them is not kept
            decoder.receive_data(bytes(chunk))
            while not isinstance(event := decoder.next_event(), NeedData):
                parts += isinstance(event, (File, Field))
                yield event
        decoder.receive_data(None)
        while not isinstance(event := decoder.next_event(), (NeedData, Epilogue)):
            yield event
    except RequestEntityTooLarge:
        if parts >= max_parts:
            raise TooManyFiles(f"The form has more than {max_parts} parts: send less at once.") from None
        raise Incomplete(
            "The form is broken: a part's headers, or what comes before the first part, do not end. Let the HTTP "
            "client write the form, and shorten the files' names."
        ) from None
    except ValueError as error:
        log.info("a form broke off: %s", error)
        raise Incomplete(
            "The form is broken or cut short, or a file name in it is not UTF-8: send it again, or each file by itself."
        ) from error


def chunks(request: Request, service: Service, most: int = CHUNK_BYTES) -> Iterator[memoryview]:
    """The body as it comes, up to `most` bytes at a time; a chunk is good until the next one: they share a buffer.

    Raises `TooSlow`, `Incomplete` when the client went away, or `Draining`.
    """
    announced, read = request.content_length, 0
    stream = request.stream
    buffer = memoryview(bytearray(most if announced is None else min(announced, most)))
    while True:  # the server ends the bodies that are still coming when its time to stop has passed
        try:
            chunk = buffer[: _read_into(stream, buffer)]
        except TimeoutError:
            raise TooSlow("The upload came too slowly and was given up: try again on a better connection.") from None
        except Exception as error:  # each HTTP server has its own for a body that breaks off
            log.info("a body broke off: %r", error)
            raise _broken_off(service) from error
        if not chunk:
            break
        read += len(chunk)
        yield chunk
    if announced is not None and read < announced:
        raise _broken_off(service)


def _read_into(stream: Any, room: memoryview) -> int:
    """One read of what is there, into the caller's room; how many bytes. Blocks."""
    if hasattr(stream, "readinto"):
        count: int = stream.readinto(room)
        return count
    data = stream.read(len(room))  # gunicorn's own reader, of a body whose length is not known
    room[: len(data)] = data
    return len(data)


def _broken_off(service: Service) -> Refused:
    if not service.accepting:
        return Draining("The server is stopping, and the upload came too late: send it again in a moment.", 5)
    return Incomplete("The upload broke off before its end: send it again.")

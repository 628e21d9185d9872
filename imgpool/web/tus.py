"""tus 1.0 at /api/uploads: uploads that go on where the connection broke. https://tus.io/protocols/resumable-upload

Creation asks for the slot, and is refused without a body; the ID of the upload becomes the image's ID. When all bytes
are there the image is kept: HEAD then says that the upload is complete, for as long as there is the image. A request
that breaks off keeps the bytes that came. Everything is answered from headers before a body is read.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from contextlib import suppress
from email.utils import formatdate
from time import time
from typing import Any

from flask import Blueprint, Response, request, url_for

from imgpool.errors import Draining, Incomplete, NoSuchUpload, Refused, Superseded, TooSlow, WrongOffset
from imgpool.service import ImageRecord
from imgpool.service.resumable import Unfinished
from imgpool.service.resumable_turn import Turn
from imgpool.web.admission import END_BODY
from imgpool.web.api import admission
from imgpool.web.problems import CLOSE_CONNECTION, problem, refusal_response
from imgpool.web.receive import chunks
from imgpool.web.sight import service, visible
from imgpool.web.tus_headers import ALGORITHMS, BadRequest, checksum_of, name_in, number
from imgpool.web.visitors import visitor

tus = Blueprint("tus", __name__)

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,termination,expiration,checksum"
BODY_TYPE = "application/offset+octet-stream"
CHECKSUM_MISMATCH = 460  # tus's own status


class CutShort(Exception):
    """The body broke off. Not counted: nothing is decided, and the client may go on."""

    def __init__(self, refusal: Refused) -> None:
        super().__init__(refusal.detail)
        self.refusal = refusal


@tus.before_request
def check_version() -> Response | None:
    """A client of another version is told so before anything is done."""
    if request.method in ("OPTIONS", "GET") or request.headers.get("Tus-Resumable") == VERSION:
        return None
    response = _unread(412, "Another version of tus", f"Send 'Tus-Resumable: {VERSION}'.")
    response.headers["Tus-Version"] = VERSION
    return response


@tus.after_request
def add_version(response: Response) -> Response:
    """Every answer says the version."""
    response.headers["Tus-Resumable"] = VERSION
    return response


@tus.errorhandler(BadRequest)
def bad_request(error: BadRequest) -> Response:
    """A broken request as a problem."""
    response = _unread(error.status, error.title, str(error))
    if error.status == 405:
        response.headers["Allow"] = "DELETE, HEAD, OPTIONS, PATCH, POST"
    return response


@tus.errorhandler(NoSuchUpload)
def no_such_upload(error: NoSuchUpload) -> Response:
    """Unknown, deleted, expired, or somebody else's: nobody can tell these apart."""
    return _unread(404, "No such upload", "There is no unfinished upload here; it may have expired. Begin it again.")


@tus.errorhandler(WrongOffset)
def wrong_offset(error: WrongOffset) -> Response:
    """Says where to go on."""
    response = _unread(409, "Another offset", str(error))
    response.headers["Upload-Offset"] = str(error.offset)
    return response


@tus.errorhandler(Superseded)
def superseded(error: Superseded) -> Response:
    """The client has come back on another connection."""
    return _unread(423, "Another request goes on with this upload", str(error))


@tus.errorhandler(Refused)
def refused(refusal: Refused) -> Response:
    """Turned away: counted, whether it is for ever or for now."""
    service().count_refused(refusal)
    return refusal_response(refusal)


@tus.errorhandler(CutShort)
def cut_short(error: CutShort) -> Response:
    """Should the client be there to hear it."""
    return refusal_response(error.refusal)


@tus.route("/api/uploads", methods=["OPTIONS"])
@tus.route("/api/uploads/<upload_id>", methods=["OPTIONS"])
def options(upload_id: str = "") -> Response:
    """What this server can do."""
    response = Response(status=204)
    response.headers["Tus-Version"] = VERSION
    response.headers["Tus-Extension"] = EXTENSIONS
    response.headers["Tus-Max-Size"] = str(service().uploads.max_bytes)
    response.headers["Tus-Checksum-Algorithm"] = ",".join(ALGORITHMS)
    return response


@tus.post("/api/uploads")
def create() -> Response:
    """Begin an upload, with a slot; its first bytes may come along."""
    if "Upload-Length" not in request.headers:
        raise BadRequest(400, "No length", "Send 'Upload-Length' with the bytes of the whole file.")
    length = number("Upload-Length")
    note = request.headers.get("Upload-Metadata", "")
    name = name_in(note)
    brings_bytes = request.mimetype == BODY_TYPE
    checksum = checksum_of() if brings_bytes else None
    upload = service().uploads.create(length, name, visitor().owner, note, _enter)
    if brings_bytes:
        with service().uploads.go_on(upload.id, 0, _enter, _interrupt()) as turn:
            offset = _receive(turn, checksum)
    else:
        offset = 0
    response = Response(status=201)
    response.headers["Location"] = url_for(".look", upload_id=upload.id)
    return _told(response, upload, offset)


@tus.route("/api/uploads/<upload_id>", methods=["HEAD"])
def look(upload_id: str) -> Response:
    """How far an upload is. Who asks has given up an earlier request: that one ends now."""
    response = Response(status=200)
    response.headers["Cache-Control"] = "no-store"
    found = _find(upload_id)
    if isinstance(found, Unfinished):
        with suppress(NoSuchUpload):  # it ends in this moment
            service().uploads.interrupt(upload_id)
        found = _find(upload_id)
    if isinstance(found, ImageRecord):
        response.headers["Upload-Length"] = response.headers["Upload-Offset"] = str(found.bytes)
        return response
    response.headers["Upload-Length"] = str(found.length)
    if found.note:
        response.headers["Upload-Metadata"] = found.note
    return _told(response, found, found.offset)


@tus.patch("/api/uploads/<upload_id>")
def go_on(upload_id: str) -> Response:
    """The next bytes."""
    if request.mimetype != BODY_TYPE:
        raise BadRequest(415, "Another content type", f"Send 'Content-Type: {BODY_TYPE}'.")
    offset, checksum = number("Upload-Offset"), checksum_of()
    found = _find(upload_id)
    length = found.bytes if isinstance(found, ImageRecord) else found.length
    if request.content_length is not None and offset + request.content_length > length:
        raise BadRequest(400, "Too many bytes", f"The upload was announced with {length} bytes.")
    if isinstance(found, ImageRecord):
        return _ended(found, offset)
    try:
        with service().uploads.go_on(upload_id, offset, _enter, _interrupt()) as turn:
            received = _receive(turn, checksum)
    except NoSuchUpload:
        ended = _find(upload_id)  # meanwhile, by the request before this one
        if isinstance(ended, Unfinished):
            raise
        return _ended(ended, offset)
    return _told(Response(status=204), found, received)


@tus.delete("/api/uploads/<upload_id>")
def terminate(upload_id: str) -> Response:
    """The client does not want it any more. A finished one is an image: that is deleted as images are."""
    if isinstance(_find(upload_id), ImageRecord):
        raise NoSuchUpload("it is an image already")
    service().uploads.terminate(upload_id)
    return Response(status=204)


@tus.post("/api/uploads/<upload_id>")
def overridden(upload_id: str) -> Response:
    """For networks that let no PATCH and DELETE through."""
    views = {"PATCH": go_on, "DELETE": terminate}
    view = views.get(request.headers.get("X-HTTP-Method-Override", ""))
    if view is None:
        raise BadRequest(405, "Method Not Allowed", "Send PATCH or DELETE, or POST with 'X-HTTP-Method-Override'.")
    return view(upload_id)


def _interrupt() -> Callable[[], None]:
    """What ends the wait for this request's bytes, where the server can do that."""
    end: Callable[[], None] = request.environ.get(END_BODY, lambda: None)
    return end


def _enter() -> Callable[[], None]:
    """An upload with a slot is one that its client has open."""
    return admission().enter(request)


def _find(upload_id: str) -> Unfinished | ImageRecord:
    """The upload, or the image that it has become; somebody else's is as one that never was."""
    try:
        upload = service().uploads.find(upload_id)
    except NoSuchUpload:
        record = visible(upload_id)
        if record is None:
            raise
        return record
    if not visitor().may_see(upload):
        raise NoSuchUpload("somebody else's")
    return upload


def _receive(turn: Turn, checksum: tuple[str, bytes] | None) -> int:
    """Take the request's body; returns the upload's offset after it. When it breaks off, what came stays."""
    digest: Any = None
    if checksum is not None:
        turn.distrust()
        digest = hashlib.new(checksum[0], usedforsecurity=False)
    try:
        for chunk in chunks(request, service()):
            turn.write(chunk)
            if digest is not None:
                digest.update(chunk)
    except (Incomplete, TooSlow, Draining) as refusal:
        if digest is not None:  # the checksum of a part cannot be checked
            turn.undo()
        raise CutShort(refusal) from refusal
    if checksum is not None and not hmac.compare_digest(digest.digest(), checksum[1]):
        turn.undo()
        raise BadRequest(CHECKSUM_MISMATCH, "Checksum mismatch", "The bytes changed on their way: send them again.")
    if turn.finish() is not None:
        service().count_accepted()
    return turn.offset


def _ended(image: ImageRecord, offset: int) -> Response:
    """For a client that missed the last answer. Its upload is there, so it must not be told to begin again."""
    if offset != image.bytes:
        raise WrongOffset(image.bytes)
    request.environ[CLOSE_CONNECTION] = True  # a body of unknown length is not read: nothing can be added
    response = Response(status=204)
    response.headers["Upload-Offset"] = str(image.bytes)
    return response


def _told(response: Response, upload: Unfinished, offset: int) -> Response:
    response.headers["Upload-Offset"] = str(offset)
    if offset < upload.length:
        response.headers["Upload-Expires"] = formatdate(time() + upload.expires_in_s, usegmt=True)
    return response


def _unread(status: int, title: str, detail: str) -> Response:
    """A problem; the body is not read."""
    request.environ[CLOSE_CONNECTION] = True
    return problem(status, title, detail)

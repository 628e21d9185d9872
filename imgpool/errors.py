"""Every exception that crosses a room's door, except the pool's own (`imgpool.pool` knows no other room).

`str(error)` is always one sentence that a person can act on; code tells errors apart by class and
attributes, never by that text.
"""

from __future__ import annotations


class ImgpoolError(Exception):
    """Base of all of them."""


class SettingError(ImgpoolError):
    """A setting is unusable: the sentence names it, its value and what is allowed."""


class NotAllowed(ImgpoolError):
    """A wish of whoever steers cannot be fulfilled: the sentence says what is allowed."""


class DataDirectoryInUse(ImgpoolError):
    """Another server already serves from this data directory."""


class ImagingError(ImgpoolError):
    """This image could not be processed; the next one can. `kind` is stable and travels between processes."""

    kind = "imaging"


class UnsupportedFormat(ImagingError):
    """The bytes are not of an accepted format, whatever the file's name says."""

    kind = "unsupported_format"


class ImageTooLarge(ImagingError):
    """The header announces more pixels, longer sides or more frames than the limits allow."""

    kind = "image_too_large"


class DecodeFailed(ImagingError):
    """The file is damaged: cut short, or its bytes make no picture."""

    kind = "decode_failed"


class JobTimedOut(ImagingError):
    """Processing took longer than the limit for one image."""

    kind = "timed_out"


class JobCancelled(ImagingError):
    """Processing was stopped from outside; the image itself is not to blame."""

    kind = "cancelled"


class MachineFailed(ImagingError):
    """The disk takes no variants, or no decoder could be started: the image is not to blame, and can be tried again."""

    kind = "machine_failed"


class DecoderCrashed(ImagingError):
    """The decoder's process ended in the middle of the image."""

    kind = "decoder_crashed"


class DecoderKilled(DecoderCrashed):
    """Somebody outside killed the decoder's process: the system, when memory ran out, or a person. The image may be
    to blame or not.
    """

    kind = "decoder_killed"


class OutOfMemory(ImagingError):
    """Decoding needed more memory than one image may have."""

    kind = "out_of_memory"


class Refused(ImgpoolError):
    """An upload was not accepted. `reason` is the counter's label and the problem's type."""

    reason = "refused"
    status = 400
    title = "The upload was refused"

    def __init__(self, detail: str, retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_s = retry_after_s


class NoRoom(Refused):
    """Every slot of the jobs channel is taken."""

    reason, status, title = "no_room", 503, "The queue is full"


class Draining(Refused):
    """The server is stopping, or has not started to accept yet."""

    reason, status, title = "draining", 503, "The server is stopping"


class StoreFailed(Refused):
    """The disk or the database would not take the upload."""

    reason, status, title = "store_failed", 503, "The upload could not be stored"


class DiskFull(Refused):
    """The disk is at its floor of free space."""

    reason, status, title = "disk_full", 507, "The disk is full"


class UploadTooLarge(Refused):
    """The body is longer than `max_upload_bytes` (or `max_request_bytes`)."""

    reason, status, title = "too_large", 413, "The file is too large"


class TooManyUnfinished(Refused):
    """As many resumable uploads are unfinished as the settings allow, and all of them are in use."""

    reason, status, title = "too_many_unfinished", 503, "Too many unfinished uploads"


class Expired(Refused):
    """A resumable upload stood still for too long, or made room for others. Counted; its client gets a 404 later."""

    reason, status, title = "expired", 404, "The upload has expired"


class NotAnImage(Refused):
    """The first bytes are not of an accepted format."""

    reason, status, title = "unsupported_format", 415, "Not an accepted image format"


class OverHeaderLimit(Refused):
    """The image's header announces more than the limits allow."""

    reason, status, title = "header_over_limit", 422, "The image is over a limit"


class NoFile(Refused):
    """The request holds no file, or an empty one, or its form is broken."""

    reason, status, title = "no_file", 400, "No file in the request"


class Incomplete(Refused):
    """The client went away, or the body is shorter than announced."""

    reason, status, title = "incomplete", 400, "The upload is incomplete"


class TooSlow(Refused):
    """The body came slower than `min_upload_bytes_per_s`."""

    reason, status, title = "too_slow", 408, "The upload came too slowly"


class TooManyUploads(Refused):
    """One client address has as many uploads open as it may."""

    reason, status, title = "too_many_uploads", 429, "Too many uploads at once"


class TooManyFiles(Refused):
    """More files in one request than `max_files`."""

    reason, status, title = "too_many_files", 413, "Too many files at once"


class CrossSite(Refused):
    """A page of another site sent the request."""

    reason, status, title = "cross_site", 403, "Requests from other sites are refused"


class WrongHost(Refused):
    """The Host header names another server: a web page may have pointed its own name at this one (DNS rebinding)."""

    reason, status, title = "wrong_host", 421, "This server has another name"


class NoHost(WrongHost):
    """An HTTP/1.1 request without a Host header."""

    reason, status, title = "no_host", 400, "The request does not say which server it is for"


class Unauthorized(Refused):
    """The token is missing or wrong."""

    reason, status, title = "unauthorized", 401, "A token is needed"


class NoSuchUpload(ImgpoolError):
    """There is no unfinished upload with this ID: it ended, or expired, or never began."""


class WrongOffset(ImgpoolError):
    """The bytes do not follow those that are there. `offset` is how many are."""

    def __init__(self, offset: int) -> None:
        super().__init__(f"The upload has {offset} bytes: go on from there.")
        self.offset = offset


class Superseded(ImgpoolError):
    """Another request has taken this upload over: the client came back on a new connection."""

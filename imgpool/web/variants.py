"""A variant as an answer: immutable, by ranges, asked for once. From a local file, or from another machine's store."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from pathlib import Path

from flask import Response, request, send_file

from imgpool.errors import StoreFailed
from imgpool.service.files import Files, RemoteVariant
from imgpool.service.records import ImageRecord, VariantRecord
from imgpool.web.problems import problem, refusal_response

log = logging.getLogger(__name__)

IMMUTABLE = "public, max-age=31536000, immutable"
URL_VALID_S = 300  # whoever gets the URL may read the variant for so long, also without a token
URL_KEPT_S = 240  # and asks for a new one while the old one still works


def send_variant(files: Files, record: ImageRecord, name: str, *, redirects: bool) -> Response:
    """The file of an image's variant; with `redirects`, the way to it, when it lies on another machine. Blocks on the
    store; its bytes are fetched as the client takes them.
    """
    made = next((each for each in record.variants if each.name == name), None)
    if made is None:
        return problem(404, "No such variant", f"This image is {record.state} and has no variant of this name.")
    found = files.variant(record.id, made.filename)
    tag = f"{record.id}-{name}"
    try:
        if redirects and not isinstance(found, Path):
            return _way(found, made)
        response = _local(found, made, tag) if isinstance(found, Path) else _remote(found, made, tag)
    except FileNotFoundError:
        return problem(404, "No such file", "The variant is gone from the server's disk.")
    except OSError as error:
        log.error("a variant could not be read: %s", error)
        return refusal_response(StoreFailed("The server cannot read its files now: try again later.", retry_after_s=10))
    response.headers["Cache-Control"] = IMMUTABLE
    return response


def _local(path: Path, made: VariantRecord, tag: str) -> Response:
    changed = path.stat().st_mtime_ns
    return send_file(path, mimetype=f"image/{made.format}", conditional=True, etag=f"{tag}-{changed:x}")


def _remote(variant: RemoteVariant, made: VariantRecord, tag: str) -> Response:
    response = Response(mimetype=f"image/{made.format}")
    response.set_etag(f"{tag}-{variant.version}")
    # The record has all that a condition or a range needs: the store is asked for bytes alone.
    response.content_length = made.bytes
    response.make_conditional(request, accept_ranges=True, complete_length=made.bytes)
    first, last = 0, made.bytes - 1
    if response.status_code == 206:
        first, last = response.content_range.start or 0, (response.content_range.stop or made.bytes) - 1
    elif response.status_code != 200:
        return response
    with ExitStack() as stack:
        # Before the first byte is sent: a store that is away, or has lost the object, is an answer of its own.
        response.response = stack.enter_context(variant.read(first, last))
        response.call_on_close(stack.pop_all().close)
    return response


def _way(variant: RemoteVariant, made: VariantRecord) -> Response:
    # Ranges and conditions are the store's to answer: the record says that the variant is there.
    response = Response(status=302)
    response.headers["Location"] = variant.url(URL_VALID_S, f"image/{made.format}")
    response.headers["Cache-Control"] = f"private, max-age={URL_KEPT_S}"
    return response

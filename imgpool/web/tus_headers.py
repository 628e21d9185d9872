"""What a request to /api/uploads says in its headers, checked. Reads no body and decides nothing."""

from __future__ import annotations

import base64
import binascii

from flask import request

ALGORITHMS = ("sha1", "sha256", "md5")
MAX_METADATA = 4096


class BadRequest(Exception):
    """The client does not keep to the protocol. Never reaches a client but as a problem."""

    def __init__(self, status: int, title: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.title = status, title


def number(header: str) -> int:
    """A request header that has to be there. Raises `BadRequest`."""
    text = request.headers.get(header, "")
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise BadRequest(400, f"Bad {header}", f"Send '{header}' with a whole number of bytes.")
    return int(text)


def checksum_of() -> tuple[str, bytes] | None:
    """Algorithm and digest, when the request has them. Raises `BadRequest`."""
    header = request.headers.get("Upload-Checksum")
    if header is None:
        return None
    algorithm, _, text = header.partition(" ")
    if algorithm not in ALGORITHMS:
        raise BadRequest(400, "Unknown checksum", f"Send a checksum by {', '.join(ALGORITHMS)}.")
    try:
        return algorithm, base64.b64decode(text, validate=True)
    except binascii.Error:
        raise BadRequest(400, "Bad checksum", "Send 'Upload-Checksum' as ALGORITHM BASE64.") from None


def name_in(metadata: str) -> str:
    """The file's name among `key base64, key base64`: `filename`, as most call it, or `name`. Raises `BadRequest`."""
    if len(metadata) > MAX_METADATA:
        raise BadRequest(400, "Too much metadata", f"Send at most {MAX_METADATA} bytes of 'Upload-Metadata'.")
    values: dict[str, str] = {}
    for pair in filter(None, (each.strip() for each in metadata.split(","))):
        key, _, value = pair.partition(" ")
        try:
            values[key] = base64.b64decode(value, validate=True).decode()
        except ValueError:  # binascii.Error and UnicodeDecodeError are
            raise BadRequest(400, "Bad metadata", "Send 'Upload-Metadata' as KEY BASE64, KEY BASE64.") from None
    return values.get("filename") or values.get("name") or ""

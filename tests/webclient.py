"""A Flask client on a started service, and uploads as browsers and programs send them."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

from flask.testing import FlaskClient

from doubles import Watching


class Web:
    """A client and the service behind it."""

    def __init__(self, client: FlaskClient, service: Watching) -> None:
        self.client, self.service = client, service

    def form(self, parts: Iterable[tuple[str, str | None, bytes]], path: str = "/api/images", **given: Any) -> Any:
        """POST a multipart form of (name, filename or None, bytes), written here byte for byte."""
        return self.client.post(path, data=body(parts), content_type="multipart/form-data; boundary=XxX", **given)

    def raw(self, data: bytes, name: str = "photo.jpg", **given: Any) -> Any:
        """POST an image as the body."""
        return self.client.post(f"/api/images?name={name}", data=data, content_type="image/jpeg", **given)

    def done(self, data: bytes, name: str = "photo.jpg") -> str:
        """Upload, wait, return the ID."""
        answer = self.raw(data, name)
        assert answer.status_code == 202, answer.text
        self.service.settled()
        image_id: str = answer.json["images"][0]["id"]
        return image_id

    def status(self) -> dict[str, Any]:
        """What /api/status says."""
        told: dict[str, Any] = self.client.get("/api/status").json
        return told


def body(parts: Iterable[tuple[str, str | None, bytes]], boundary: str = "XxX") -> bytes:
    """A multipart body; a filename of None makes a part that is no file."""
    written = b""
    for name, filename, data in parts:
        file = "" if filename is None else f'; filename="{filename}"'
        written += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode()
        written += data + b"\r\n"
    return written + f"--{boundary}--\r\n".encode()


def cookie_name(client: FlaskClient) -> str:
    """What the application calls its cookie."""
    return str(client.application.config["SESSION_COOKIE_NAME"])


def cookie_of(client: FlaskClient) -> Any:
    """The application's cookie in this browser, or None."""
    return client.get_cookie(cookie_name(client))


class Untouchable(io.RawIOBase):
    """A body that must not be read."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        raise AssertionError("the body was read")

"""The server under test: its address, the token, and small questions to it.

Owns the check that a flood goes to one's own machine only, unless a person says otherwise. Blocks on the network;
safe to use from several threads or greenlets, as each has connections of its own.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from imgpool.errors import ImgpoolError

ANSWER_S = 30.0
CONSENT = "--yes-this-is-my-server"


class LoadError(ImgpoolError):
    """The load test cannot be made so: the sentence says what to do."""


@dataclass(frozen=True)
class Target:
    """Where the uploads go. `prefix` is the path in front of `/api`, mostly empty."""

    scheme: str
    host: str
    port: int
    prefix: str
    token: str | None

    @property
    def url(self) -> str:
        """The address as people write it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.prefix}"

    def connect(self, timeout_s: float = ANSWER_S) -> http.client.HTTPConnection:
        """A connection that is not yet open; the caller closes it."""
        kind = http.client.HTTPSConnection if self.scheme == "https" else http.client.HTTPConnection
        return kind(self.host, self.port, timeout=timeout_s)

    def headers(self) -> dict[str, str]:
        """What each request says of itself."""
        agent = {"User-Agent": "imgpool-load"}
        return agent if self.token is None else {**agent, "Authorization": f"Bearer {self.token}"}

    def get(self, connection: http.client.HTTPConnection, path: str) -> tuple[int, bytes]:
        """Ask on a connection that is kept. Raises OSError or HTTPException; then the connection has been closed."""
        try:
            connection.request("GET", self.prefix + path, headers=self.headers())
            with connection.getresponse() as answer:
                return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            raise

    def check(self) -> None:
        """Ask for the status once. Raises `LoadError` when nothing that takes uploads answers there."""
        connection = self.connect(5)
        try:
            status, body = self.get(connection, "/api/status")
        except (OSError, http.client.HTTPException) as error:
            raise LoadError(f"{self.url} does not answer: {error or type(error).__name__}; is the server up?") from None
        finally:
            connection.close()
        if status == 401:
            raise LoadError(f"{self.url} asks for its token: give --token")
        if status != 200 or _json(body) is None:
            raise LoadError(f"{self.url} is no imgpool: GET /api/status answered {status}")


def find_target(url: str, token: str | None, consent: bool) -> Target:
    """Read an address. Raises `LoadError` when it is none, or is not this machine's and nobody consented."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        port = 0
    if parts.scheme not in ("http", "https") or not parts.hostname or not port or parts.query or parts.fragment:
        raise LoadError(f"{url!r} is no server's address; write it as http://127.0.0.1:8000")
    if not consent and not is_this_machine(parts.hostname, port):
        raise LoadError(
            f"{parts.hostname} is not this machine. A load test against somebody else's server is an attack: "
            f"if it is your own, say so with {CONSENT}"
        )
    return Target(parts.scheme, parts.hostname, port, parts.path.rstrip("/"), token)


def is_this_machine(host: str, port: int) -> bool:
    """Whether every address of the name is a loopback address; False for a name that is not known."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return all(ipaddress.ip_address(str(address[4][0]).split("%")[0]).is_loopback for address in found)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None

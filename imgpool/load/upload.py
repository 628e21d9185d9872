"""One upload, sent as a client of the given behaviour would.

Written on plain sockets and not on Locust's FastHttpUser, because that one sends every body to its end before it looks
for an answer: it can be rude only, and cannot be slow. Blocks its own greenlet or thread; raises nothing.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Any, Literal

from imgpool.load.behaviour import Behaviour
from imgpool.load.pictures import Picture
from imgpool.load.target import Target

CHUNK = 128 * 1024
SLOW_CHUNK_S = 0.25

Kind = Literal["accepted", "refused", "reset", "unanswered", "unreachable"]


@dataclass(frozen=True, slots=True)
class Answer:
    """How one try ended. `reset`: the connection ended without an answer; `unanswered`: the client's patience did;
    `unreachable`: no connection came about. `reason` is the server's word for a refusal, or the error's.
    """

    kind: Kind
    status: int | None = None
    reason: str | None = None
    image_id: str | None = None
    retry_after_s: float | None = None
    sent_bytes: int = 0


def upload(target: Target, picture: Picture, behaviour: Behaviour) -> Answer:
    """Offer the picture once, on a connection of its own."""
    connection = target.connect(behaviour.patience_s)
    try:
        connection.connect()
    except OSError as error:
        return Answer("unreachable", reason=_name(error))
    sent = 0
    try:
        connection.putrequest("POST", f"{target.prefix}/api/images?{picture.query}")
        for name, value in target.headers().items():
            connection.putheader(name, value)
        connection.putheader("Content-Type", "application/octet-stream")
        connection.putheader("Content-Length", str(len(picture.body)))
        connection.endheaders()
        try:
            sent = _send(connection.sock, picture.body, behaviour)
        except (BrokenPipeError, ConnectionResetError):
            sent = len(picture.body)  # the answer may be there all the same
        with connection.getresponse() as response:
            return _read(response, response.read(), sent)
    except TimeoutError:
        return Answer("unanswered", reason=f"no answer within {behaviour.patience_s:g} s", sent_bytes=sent)
    except (OSError, http.client.HTTPException) as error:
        return Answer("reset", reason=_name(error), sent_bytes=sent)
    finally:
        connection.close()


def _send(sock: socket.socket, body: bytes, behaviour: Behaviour) -> int:
    """Send the body; returns how much of it went out, less than all when the answer came before its end."""
    view, sent = memoryview(body), 0
    rate = behaviour.bytes_per_s
    size = CHUNK if rate is None else max(1, int(rate * SLOW_CHUNK_S))
    while sent < len(body):
        if behaviour.listens and sent and _answered(sock):
            break
        chunk = view[sent : sent + size]
        sock.sendall(chunk)
        sent += len(chunk)
        if rate is not None and sent < len(body):
            time.sleep(len(chunk) / rate)
    return sent


def _answered(sock: socket.socket) -> bool:
    """Whether there is something to read; does not block."""
    if isinstance(sock, ssl.SSLSocket):
        return False  # it cannot be told without taking it
    timeout = sock.gettimeout()
    sock.settimeout(0)
    try:
        sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    finally:
        sock.settimeout(timeout)
    return True


def _read(response: http.client.HTTPResponse, body: bytes, sent: int) -> Answer:
    try:
        value: Any = json.loads(body)
    except ValueError:
        value = None
    fields = value if isinstance(value, dict) else {}
    if response.status == 202:
        try:
            return Answer("accepted", 202, image_id=str(fields["images"][0]["id"]), sent_bytes=sent)
        except (KeyError, IndexError, TypeError):
            return Answer("refused", 202, "an answer that names no image", sent_bytes=sent)
    kind = str(fields.get("type") or "about:blank")
    word = f"HTTP {response.status}" if kind == "about:blank" else kind.rsplit("/", 1)[-1].replace("-", "_")
    after = response.headers.get("Retry-After", "")
    return Answer("refused", response.status, word, None, float(after) if after.isdigit() else None, sent)


def _name(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__

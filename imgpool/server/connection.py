"""One client's connection: its parser, the pace of its bodies, and what the front stage notes about it.

The headers of a request come from the poller (`imgpool.server.arrivals`); what a thread reads here is the body alone.
This touches private names of gunicorn 27 (`TConn`, `Parser`): the dependency is pinned, and `tests/system` shows
each effect on raw sockets.
"""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from typing import Any

from gunicorn.http.body import LengthReader
from gunicorn.http.errors import NoMoreData
from gunicorn.http.parser import RequestParser
from gunicorn.http.unreader import SocketUnreader
from gunicorn.workers.gthread import TConn

from imgpool.config import Settings
from imgpool.server.body import StraightBody
from imgpool.web.admission import Admitted

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
MOST_AHEAD = 64 * 1024  # that gunicorn's own reader gets at once
GRACE_S = 10.0
GRACE_WHEN_FULL_S = 2.0


class PacedUnreader(SocketUnreader):  # type: ignore[misc]  # gunicorn ships no types
    """Reads a body no slower than `least_bytes_per_s` on average, after `GRACE_S` of waiting for the client.

    Only the time spent waiting in `recv` counts: a server that is slow itself does not blame the client.
    """

    def __init__(self, sock: socket.socket, timeout_s: float, least_bytes_per_s: int) -> None:
        super().__init__(sock)
        self.timeout_s = timeout_s
        self._least = least_bytes_per_s
        self._let_go = False
        self.begin_headers()

    def begin_headers(self) -> None:
        """A new request: its headers are in the buffer, and nothing is read for them."""
        self._in_body = False
        self.owes_continue = False

    def begin_body(self, *, owes_continue: bool) -> None:
        """What is read from now on is the body, and its pace is measured anew."""
        self._in_body = True
        self.owes_continue = owes_continue
        self._waited_s, self._received = 0.0, len(self.buf.getbuffer())  # what came behind the headers
        self._asked: float | None = None

    def chunk(self, size_hint: int | None = None) -> bytes:
        """One recv for gunicorn's own reader, of bodies whose length is not known. Blocks, raises as `receive_into`."""
        if not self._in_body:
            raise NoMoreData(b"")
        data = bytearray(min(size_hint, MOST_AHEAD) if size_hint else self.mxchunk)
        return bytes(data[: self._recv_into(memoryview(data))])

    def receive_into(self, view: memoryview) -> int:
        """What came behind the headers, then one recv at a time; how many bytes, 0 at the end. Blocks.

        TimeoutError when the client is silent for too long, or too slow on average.
        """
        if not self.buf.getbuffer().nbytes:
            return self._recv_into(view)
        came = self.take_buffered()
        count = min(len(came), len(view))
        view[:count] = came[:count]
        self.buf.write(came[count:])
        return count

    def _recv_into(self, view: memoryview) -> int:
        if self.owes_continue:  # not before: who is refused at the headers need not send the body
            self.owes_continue = False
            self.sock.sendall(CONTINUE)
        self._asked = asked = time.monotonic()
        count: int = self.sock.recv_into(view)
        self._asked = None
        self._waited_s += time.monotonic() - asked
        self._received += count
        if (self._let_go and not count) or self._slower(self._waited_s, GRACE_S):
            raise TimeoutError("the client sends too slowly")
        return count

    def is_slow(self) -> bool:
        """Whether the client has to make way when another one needs its place. Any thread."""
        asked = self._asked
        waiting_s = 0.0 if asked is None else time.monotonic() - asked
        return self._slower(self._waited_s + waiting_s, GRACE_WHEN_FULL_S)

    def let_go(self) -> None:
        """End the body of a slow client: its thread wakes up with TimeoutError. Any thread."""
        self._let_go = True
        with suppress(OSError):  # closed meanwhile
            self.sock.shutdown(socket.SHUT_RD)

    def _slower(self, waited_s: float, grace_s: float) -> bool:
        return waited_s > grace_s and self._received < self._least * waited_s


class Parser(RequestParser):  # type: ignore[misc]  # gunicorn ships no types
    """gunicorn's parser, which looks at a request on the poller and gives it, or its error, to a thread later."""

    _request: Any = None
    _error: Exception | None = None
    answering_since: float | None = None  # the thread's: from then on it may wait for the client to read

    def look(self) -> Any:
        """The next request, whose headers are in the buffer; None when there is none: the thread hears why."""
        self._request = self._error = self.answering_since = None
        try:
            self._request = super().__next__()
        except Exception as error:  # whatever it is, gunicorn answers it, in a thread
            self._error = error
        return self._request

    def __next__(self) -> Any:
        """Called by gunicorn in a thread, for which it has made the socket block: not longer than for `timeout_s`,
        whether it reads the body or writes the answer.
        """
        self.unreader.sock.settimeout(self.unreader.timeout_s)
        if self._error is not None:
            self.answering_since = time.monotonic()
            raise self._error
        return self._request


class Connection(TConn):  # type: ignore[misc]  # gunicorn ships no types
    """A client's connection. Compared and hashed by identity."""

    def __init__(self, cfg: Any, sock: socket.socket, client: Any, server: Any, settings: Settings) -> None:
        super().__init__(cfg, sock, client, server)
        self.initialized = True  # gunicorn would make a parser of its own, in a thread
        self.parser = Parser(cfg, sock, client)
        self.parser.unreader = PacedUnreader(sock, settings.read_timeout_s, settings.min_upload_bytes_per_s)
        self.head = bytearray()  # of the next request, as far as it has come; the poller's
        self.admitted: Admitted | None = None  # the slot for the request that is being served
        self.answered_at, self.dropped = 0.0, 0  # since when it lingers, and what it sent since

    def look(self) -> Any:
        """The request whose headers are there, or None when they are no request. Never blocks."""
        unreader = self.parser.unreader
        unreader.begin_headers()
        unreader.unread(bytes(self.head))
        self.head.clear()
        request = self.parser.look()
        expects = request is not None and request._expected_100_continue
        if expects:
            request._expected_100_continue = False  # gunicorn would say it before the application is asked
        unreader.begin_body(owes_continue=expects)
        if request is not None and isinstance(request.body.reader, LengthReader):
            request.body = StraightBody(unreader, request.body.reader.length)
        return request

    def answer(self, data: bytes) -> None:
        """Write a short answer to a client that was not answered before: it fits into the socket's empty buffer."""
        with suppress(OSError):  # the client is gone, or does not read what it asked for before
            self.sock.sendall(data)

    def body_is_here(self) -> bool:
        """Whether the body of the request was read, or can be without waiting for the client."""
        return not self.parser.unreader.owes_continue and self.missing_bytes() == 0

    def missing_bytes(self) -> int | None:
        """How much of the request's body the client has yet to send; None when only its end will say (chunked)."""
        reader = self.parser.mesg.body.reader
        if hasattr(reader, "length"):
            left: int = reader.length - len(self.parser.unreader.buf.getbuffer())
            return max(0, left)
        return 0 if reader.parser is None else None

    def send_continue(self) -> None:
        """The body is wanted; says so if the client asked first. Never blocks."""
        if self.parser.unreader.owes_continue:
            self.parser.unreader.owes_continue = False
            self.answer(CONTINUE)

    def receive_missing(self) -> bool:
        """Take what has come of the body; whether nothing more will. Never blocks."""
        buffer = self.parser.unreader.buf
        buffer.seek(0, os.SEEK_END)
        try:
            data = self.sock.recv(self.missing_bytes() or 1)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        buffer.write(data)
        return not data or self.missing_bytes() == 0

    def end_body(self) -> None:
        """Let whoever reads this connection see its end; what is written to it still arrives. Any thread."""
        with suppress(OSError):  # closed meanwhile
            self.sock.shutdown(socket.SHUT_RD)

    def end_answer(self) -> None:
        """Let go of a client that does not read: the thread that writes to it wakes up with an error. Any thread."""
        with suppress(OSError):  # closed meanwhile
            self.sock.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        """The request is served, or will not be: its place is free again, if it is still held. Idempotent."""
        admitted, self.admitted = self.admitted, None
        if admitted is not None:
            admitted.close()

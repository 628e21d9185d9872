"""gunicorn's thread worker, made safe for uploads: no client can hold a thread for ever, none gets a reset.

Three things differ from the class it extends. A socket has a read timeout and a body a minimum rate, so a silent or
a trickling client is let go. The lingering close after an unread body happens in the pool thread that served the
request, not on the accept thread, and reads more before it gives up: the client sees the refusal and not a
reset. And the service is started before, and drained after, the requests are served.

This touches private names of gunicorn 27 (`TConn`, `parser.unreader`): the dependency is pinned, and
`tests/system` shows each effect on raw sockets.
"""

from __future__ import annotations

import errno
import logging
import selectors
import signal
import socket
import sys
import time
import weakref
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any

from gunicorn.http.errors import NoMoreData
from gunicorn.http.unreader import SocketUnreader
from gunicorn.workers.gthread import TConn, ThreadWorker

from imgpool.config import Settings
from imgpool.errors import ImgpoolError
from imgpool.service import Service, StoreError
from imgpool.web.problems import CLOSE_CONNECTION

log = logging.getLogger(__name__)

HEADERS_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
RATE_GRACE_S = 10.0
LINGER_S = 5.0
LINGER_SILENCE_S = 1.0
LINGER_BYTES = 64 * 1024**2
LEAST_DRAIN_S = 1
REFUSED_TO_START = 3  # gunicorn's own exit status for a worker that cannot boot: the master stops, too


class PacedUnreader(SocketUnreader):  # type: ignore[misc]  # gunicorn ships no types
    """Reads a socket no slower than `least_bytes_per_s` on average, after `RATE_GRACE_S` of waiting for the client.

    Only the time spent waiting in `recv` counts: a server that is slow itself does not blame the client.
    """

    def __init__(self, sock: socket.socket, timeout_s: float, least_bytes_per_s: int) -> None:
        super().__init__(sock)
        self._timeout_s = timeout_s
        self._least = least_bytes_per_s
        self.begin()

    def begin(self) -> None:
        """A new request: its pace is measured anew."""
        self._waited_s, self._received = 0.0, 0
        self.in_body = False

    def chunk(self, size_hint: int | None = None) -> bytes:
        """One recv. When the client is silent for too long, or too slow on average: TimeoutError in a body, for the
        application to answer; an answer and the end of the connection in headers, of which it never hears.
        """
        try:
            return self._paced_chunk(size_hint)
        except TimeoutError as error:
            if self.in_body:
                raise
            if self._received:
                self.sock.sendall(HEADERS_TOO_SLOW)
            raise NoMoreData(b"") from error

    def _paced_chunk(self, size_hint: int | None) -> bytes:
        allowed = self.sock.gettimeout()
        if allowed is None or allowed > self._timeout_s:
            self.sock.settimeout(self._timeout_s)
        asked = time.monotonic()
        data: bytes = super().chunk(size_hint)
        self._waited_s += time.monotonic() - asked
        self._received += len(data)
        if self._waited_s > RATE_GRACE_S and self._received < self._least * self._waited_s:
            raise TimeoutError("the client sends too slowly")
        return data


class Connection(TConn):  # type: ignore[misc]  # gunicorn ships no types
    """A client's connection, read through a `PacedUnreader`."""

    def __init__(self, cfg: Any, sock: socket.socket, client: Any, server: Any, settings: Settings) -> None:
        super().__init__(cfg, sock, client, server)
        self._settings = settings
        self._lingered = False

    def init(self) -> None:
        """Called by gunicorn in the pool thread, before the first request is parsed."""
        if not self.initialized:
            super().init()
            self.parser.unreader = PacedUnreader(
                self.sock, self._settings.read_timeout_s, self._settings.min_upload_bytes_per_s
            )

    def begin_request(self) -> None:
        """Each request has a pace of its own."""
        if self.initialized:
            self.parser.unreader.begin()

    def end_body(self) -> None:
        """Let whoever reads this connection see its end; what is written to it still arrives."""
        with suppress(OSError):  # closed meanwhile
            self.sock.shutdown(socket.SHUT_RD)

    def linger(self) -> None:
        """Close so that the client reads the answer: end our side, then read away what it still sends, within limits.

        Closing with unread bytes would make the kernel send a reset, which throws the answer away at the client.
        """
        self._lingered = True
        deadline = time.monotonic() + LINGER_S
        read = 0
        try:
            self.sock.shutdown(socket.SHUT_WR)
            while read < LINGER_BYTES and (left := deadline - time.monotonic()) > 0:
                self.sock.settimeout(min(left, LINGER_SILENCE_S))
                data = self.sock.recv(65536)
                if not data:
                    break
                read += len(data)
        except OSError:
            pass  # the client is gone, or silent: nothing is owed any more
        finally:
            self.sock.close()

    def close(self, graceful: bool = False) -> None:
        """Called by gunicorn on the accept thread, where nothing may linger."""
        if not self._lingered:
            super().close(graceful=False)


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn ships no types
    """One process, many threads, one service."""

    wsgi: Any  # set by gunicorn when it loads the application

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._connections: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._asked_to_stop_at: float | None = None

    @property
    def service(self) -> Service:
        """The service of the application that this worker serves."""
        service: Service = self._flask.extensions["imgpool"]
        return service

    def load_wsgi(self) -> None:
        """Load the application, and obey it when it asks to end the connection."""
        super().load_wsgi()
        self._flask = self.wsgi
        self.wsgi = self._call_and_close

    def run(self) -> None:
        """Start the service, serve until told to stop, drain: all within gunicorn's graceful timeout."""
        try:
            self.service.start()
        except Exception as error:  # whatever it is: gunicorn would start a new worker for ever
            print(f"imgpool: {error}", file=sys.stderr, flush=True)  # noqa: T201 - one line, for whoever started it
            if not isinstance(error, (ImgpoolError, StoreError)):
                log.exception("the service could not start")
            sys.exit(REFUSED_TO_START)
        if self.age == 1:  # a worker that replaces a crashed one says so in the log only
            for listener in self.sockets:
                print(f"imgpool: serving on {address(listener)}", flush=True)  # noqa: T201 - the contract's line
        # Requests in flight may take the drain's time, but not more: the master kills a little later.
        self.cfg.set("graceful_timeout", int(self.service.settings.drain_timeout_s) + LEAST_DRAIN_S)
        try:
            super().run()
        finally:
            self._drain()

    def _call_and_close(self, environ: dict[str, Any], start_response: Any) -> Any:
        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            if environ.get(CLOSE_CONNECTION):
                start_response.__self__.force_close()  # gunicorn's Response: it then says "Connection: close"
            return start_response(status, headers, exc_info)

        return self._flask(environ, start)

    def _drain(self) -> None:
        """Finish what was accepted, in the time that the requests left.

        A worker whose master is gone hurries: a new server may be waiting for the data directory.
        """
        self._end_open_bodies()
        left_s = self._left_s() if self.is_parent_alive() else 0.0
        self.notify()
        self.service.stop(max(LEAST_DRAIN_S, left_s))

    def _left_s(self) -> float:
        """What is left of the time to drain."""
        began = self._asked_to_stop_at or time.monotonic()
        return began + self.service.settings.drain_timeout_s - time.monotonic()

    def notify(self) -> None:
        """The heartbeat, called at least once a second; when stopping, the time to end uploads that are too slow."""
        super().notify()
        if self._asked_to_stop_at is None:
            return
        for conn in self.pending_conns:  # these said nothing yet: stopping does not wait for them
            conn.timeout = min(conn.timeout, time.monotonic())
        if self._left_s() < LEAST_DRAIN_S:
            self._end_open_bodies()

    def _end_open_bodies(self) -> None:
        """Let uploads that still come in see the end of their bodies: each gets an answer, none is waited for."""
        for connection in list(self._connections):
            connection.end_body()

    def init_signals(self) -> None:
        """As the parent class does; a hang-up, which it would die of, is no reason to stop."""
        super().init_signals()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        """Ctrl-C is SIGTERM. The parent class would touch its thread pool, whose lock this thread may hold."""
        self.handle_exit(sig, frame)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM: uploads that are not admitted yet never will be."""
        if self._asked_to_stop_at is None:
            self._asked_to_stop_at = time.monotonic()
            if self.booted:
                self.service.drain_soon()
        super().handle_exit(sig, frame)

    def accept(self, listener: socket.socket) -> None:
        """Take a new connection, as the parent class does, but of our own kind."""
        try:
            sock, peer = listener.accept()
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EWOULDBLOCK, errno.ECONNABORTED):
                return
            raise
        self.nr_conns += 1
        conn = Connection(self.cfg, sock, peer, listener.getsockname(), self.service.settings)
        self._connections.add(conn)
        # To the poller first, and to a thread when something came: who says nothing takes nobody's turn.
        conn.timeout = time.monotonic() + self.cfg.keepalive
        self.pending_conns.append(conn)
        self.poller.register(sock, selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn))

    def handle_request(self, req: Any, conn: Connection) -> Any:
        """The headers are read; what comes now is the body."""
        conn.parser.unreader.in_body = True
        return super().handle_request(req, conn)

    def handle(self, conn: Connection) -> Any:
        """Serve one request of a connection, in a pool thread; if it is to be closed then it is closed here."""
        conn.begin_request()
        kept = super().handle(conn)
        if kept is False:
            conn.linger()
        return kept


def address(listener: Any) -> str:
    """http://HOST:PORT of a listening socket."""
    name = listener.getsockname()
    if isinstance(name, (str, bytes)):
        return f"unix:{name!s}"
    host = f"[{name[0]}]" if ":" in name[0] else name[0]
    return f"http://{host}:{name[1]}"

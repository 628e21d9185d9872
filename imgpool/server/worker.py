"""gunicorn's thread worker, made safe for uploads: no client can hold a thread for ever, none gets a reset.

Its threads see nothing but requests whose headers are there, and of bodies those that hold a slot. What waits for a
client otherwise happens on the poller of the main thread: headers on their way (`arrivals`), refusals at the headers
(`front`), small forms (`bodies`), the close after an answer (`lingering`). Who does not read an answer makes way
(`answers`). And the service is started before, and drained after, the requests are served.

This touches private names of gunicorn 27: the dependency is pinned, and `tests/system` shows each effect on raw
sockets.
"""

from __future__ import annotations

import errno
import logging
import signal
import socket
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

from imgpool.config import http_threads_for
from imgpool.server.answers import Answers
from imgpool.server.arrivals import Arrivals
from imgpool.server.bodies import SmallBodies
from imgpool.server.call import Call
from imgpool.server.connection import Connection
from imgpool.server.front import Front
from imgpool.server.lingering import Lingering
from imgpool.server.opening import say_where, start_or_exit
from imgpool.server.stop import MasterHandler, Stop
from imgpool.server.threads import raise_limit, start_threads
from imgpool.service import Service

log = logging.getLogger(__name__)

THREADS_AT_START = 128
ACCEPTS_IN_A_ROW = 64  # then those that are there already have their turn
LEAST_DRAIN_S = 1
LIMITED_S = 5.0
LINGER_AT_STOP_S = 1.0
# For a request that is on its way already: a round trip across the world. Gunicorn's own 2 s, looked at once a second,
# made every stop with an open page take three.
KEPT_AT_STOP_S = 0.25
NO_MORE_FILES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class StopAtOnceError(Exception):
    """Ends the main loop, whatever requests it still serves."""


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn ships no types
    """One process, many threads, one service."""

    wsgi: Any  # set by gunicorn when it loads the application

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._connections: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._limited_until = 0.0  # no descriptor was left: fewer connections than set, until then
        self._crowd = False  # more connections wait than were taken in this round

    def init_process(self) -> None:
        """Called in the process that will serve: whatever the master opened for this one would stay open there."""
        self._stop = Stop(lambda: self.service.stop_at_once())
        super().init_process()

    @property
    def service(self) -> Service:
        """The service of the application that this worker serves."""
        service: Service = self._flask.extensions["imgpool"]
        return service

    def load_wsgi(self) -> None:
        """Load the application, and stand between it and gunicorn."""
        super().load_wsgi()
        self._flask = self.wsgi
        self.wsgi = self._call = Call(self._flask)

    def run(self) -> None:
        """Start the service, serve until told to stop, drain: all within gunicorn's graceful timeout."""
        start_or_exit(self.service)
        if self.age == 1:  # a worker that replaces a crashed one says so in the log only
            say_where(self.sockets)
        # Requests in flight may take the drain's time, but not more: the master kills a little later.
        self.cfg.set("graceful_timeout", int(self.service.settings.drain_timeout_s) + LEAST_DRAIN_S)
        self._answers = Answers(lambda: self.tpool._max_workers)
        self._lingering = Lingering(self.poller, self._close)
        patience_s = self.service.settings.read_timeout_s
        self._bodies = SmallBodies(self.poller, patience_s, self.enqueue_req, self._end_unserved)
        self._front = Front(
            self._flask.extensions["imgpool.gate"],
            self.cfg,
            self.log,
            serve=self.enqueue_req,
            collect=self._bodies.add,
            answered=self._lingering.add,
        )
        self._arrivals = Arrivals(self.poller, patience_s, self._front.headers, self._end_unserved)
        self._stop.listen()
        try:
            super().run()
        except StopAtOnceError:
            self.tpool.shutdown(wait=False, cancel_futures=True)
        finally:
            self._drain()

    def get_thread_pool(self) -> ThreadPoolExecutor:
        """The threads, started: starting one takes milliseconds of the thread that answers the door in a flood."""
        pool: ThreadPoolExecutor = super().get_thread_pool()
        start_threads(pool, min(self.cfg.threads, THREADS_AT_START))
        return pool

    # A connection's way: accept, arrivals, front, a thread, and back to the arrivals or to the lingering

    def accept(self, listener: socket.socket) -> None:
        """Take the connections that wait."""
        for _ in range(ACCEPTS_IN_A_ROW):
            if self.nr_conns >= self.worker_connections:
                return
            try:
                sock, peer = listener.accept()
            except OSError as error:
                if error.errno in NO_MORE_FILES:
                    self._no_more_files()
                elif error.errno not in (errno.EAGAIN, errno.EWOULDBLOCK, errno.ECONNABORTED):
                    raise
                return
            self.nr_conns += 1
            connection = Connection(self.cfg, sock, peer, listener.getsockname(), self.service.settings)
            self._connections.add(connection)
            self._arrivals.add(connection, self.cfg.keepalive)
        self._crowd = True

    def enqueue_req(self, connection: Connection) -> None:
        """Give a request to the threads."""
        self._answers.add(connection)
        super().enqueue_req(connection)

    def handle(self, connection: Connection) -> Any:
        """Serve one request, in a pool thread. Returns whether the connection is kept."""
        self._call.serves(connection)
        return super().handle(connection)

    def handle_request(self, req: Any, connection: Connection) -> Any:
        """As the parent class does, which would log where in the code a client stopped to read."""
        try:
            return super().handle_request(req, connection)
        except TimeoutError:
            log.info("a client did not read its answer")
            raise StopIteration from None  # gunicorn's word for: close the connection

    def finish_request(self, connection: Connection, served: Any) -> None:
        """A thread is done with a request."""
        self._answers.remove(connection)
        self._front.done(connection)
        try:
            kept = not served.cancelled() and served.result()
        except Exception:
            log.exception("a request could not be served")
            kept = False
        if kept:
            self._arrivals.add(connection, self.cfg.keepalive if self.alive else KEPT_AT_STOP_S)
        else:
            self._lingering.add(connection)

    def _end_unserved(self, connection: Connection, answer: bytes) -> None:
        if answer:
            connection.answer(answer)
            self._lingering.add(connection)
        else:
            self._close(connection)

    def _close(self, connection: Connection) -> None:
        self.nr_conns -= 1
        connection.close()

    # Time and limits

    def notify(self) -> None:
        """The heartbeat, called at least once a second: deadlines, and room for new connections."""
        super().notify()
        now = time.monotonic()
        self._arrivals.expire(now)
        self._bodies.expire(now)
        self._lingering.expire(now)
        self._front.retry()
        self._have_threads_for_the_queue()
        if now >= self._limited_until:
            self.worker_connections = self.cfg.worker_connections
        self._answers.make_way(now)
        if self.nr_conns >= self.worker_connections:
            self._make_room()
        if self._stop.at_once:
            raise StopAtOnceError
        if self._stop.asked:
            self._lingering.cap(now + LINGER_AT_STOP_S)
            if self._left_s() < LEAST_DRAIN_S:
                self._end_open_bodies()
                self._answers.end_all(now)

    def _make_room(self) -> None:
        """Who has waited longest makes way, a crowd at a time: else each newcomer would wait for a second."""
        for _ in range(ACCEPTS_IN_A_ROW):
            if not (self._lingering.evict() or self._arrivals.evict() or self._bodies.evict()):
                break

    def _have_threads_for_the_queue(self) -> None:
        """Somebody may have given the queue more places: each of them is an upload that wants a thread to send."""
        most = http_threads_for(self.service.queue_capacity)
        if not self.service.settings.http_threads and most > self.tpool._max_workers:
            raise_limit(self.tpool, most)  # only ever more

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Wait no longer than until the front stage has something to do."""
        waits = [self._front.until(), self._answers.until()]
        if not self.alive:  # stopping waits for these, and for nothing else
            waits += [self._arrivals.until(), self._bodies.until(), self._lingering.until()]
            timeout = timeout if self.nr_conns else 0.0
        due = [at for at in waits if at is not None]
        self._crowd = False
        now = time.monotonic()
        super().wait_for_and_dispatch_events(max(0.0, min(timeout, *(at - now for at in due))) if due else timeout)
        self._front.go_on(crowd=self._crowd)
        self._lingering.drop()

    def _no_more_files(self) -> None:
        """No descriptor is left, although some were kept free (`descriptors`): for a while no more clients than now.
        Then it is tried again, since whatever took the descriptors may have let go of them.
        """
        log.error("no file descriptor is left for another connection: raise the limit (ulimit -n)")
        self.worker_connections = max(1, self.nr_conns)
        self._limited_until = time.monotonic() + LIMITED_S

    # The end

    def _drain(self) -> None:
        """Finish what was accepted, in the time that the requests left.

        A worker whose master is gone hurries: a new server may be waiting for the data directory.
        """
        self._end_open_bodies()
        left_s = self._left_s() if self.is_parent_alive() else 0.0
        super().notify()
        self.service.stop(max(LEAST_DRAIN_S, left_s))

    def _left_s(self) -> float:
        """What is left of the time to drain."""
        return self._stop.left_s(self.service.settings.drain_timeout_s)

    def _end_open_bodies(self) -> None:
        """Let uploads that still come in see the end of their bodies: each gets an answer, none is waited for."""
        for connection in list(self._connections):
            connection.end_body()

    def _cap_keepalive(self, deadline: float) -> None:
        """Called by gunicorn when it begins to stop: those that said nothing yet are hardly waited for."""
        self._arrivals.stop(time.monotonic() + KEPT_AT_STOP_S, deadline)
        self._bodies.cap(deadline)

    def init_signals(self) -> None:
        """As the parent class does; a hang-up, which it would die of, is no reason to stop."""
        inherited = signal.getsignal(signal.SIGTERM)
        super().init_signals()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to the master too, which decides
        if isinstance(inherited, MasterHandler) and inherited.missed:
            self.handle_exit(signal.SIGTERM, None)

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        """SIGQUIT, the master's word for a second request to stop: finish nothing, hand everything over.

        The parent class would touch its thread pool, whose lock this thread may hold.
        """
        self.handle_exit(sig, frame)
        self._stop.ask_at_once()
        self.method_queue.defer(lambda: None)  # wakes the main loop, also when it was stopping already

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM: uploads that are not admitted yet never will be."""
        if self._stop.ask() and self.booted:
            self.service.drain_soon()
        super().handle_exit(sig, frame)

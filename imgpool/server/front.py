"""The front stage: what becomes of a request when its headers are there, before a thread has it.

Owns the answers to uploads that are refused at their headers, and the uploads that wait a moment because a slow
one makes way for them. Main thread only, except where a method says otherwise; nothing here blocks.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from gunicorn.http import wsgi

from imgpool.errors import NoRoom, Refused
from imgpool.server.connection import Connection
from imgpool.web.admission import Admitted
from imgpool.web.gate import Gate

MAKING_WAY_S = 0.5  # how long an upload waits for the place of one that was let go
CROWD_S = 0.5  # how long an upload that has a slot waits for its thread while a crowd is at the door
LOOK_AGAIN_S = 0.05  # looking for a slow upload costs a walk over all of them


class Front:
    """Sends each request to a thread (`serve`), at once or with its small body (`collect`), or answers it (`answered`:
    its connection is to be ended).
    """

    def __init__(
        self,
        gate: Gate,
        cfg: Any,
        log: Any,
        serve: Callable[[Connection], None],
        collect: Callable[[Connection], None],
        answered: Callable[[Connection], None],
    ) -> None:
        self._gate = gate
        self._cfg, self._log = cfg, log
        self._serve, self._collect, self._answered = serve, collect, answered
        self._receiving: set[Connection] = set()  # those that hold a slot
        self._granted: deque[tuple[float, Connection]] = deque()  # until when, who: they have a slot and no thread yet
        self._waiting: deque[tuple[float, Connection, Any]] = deque()  # until when, who, its request
        self._looked_at = float("-inf")

    def headers(self, connection: Connection) -> None:
        """The headers of a connection's next request have come."""
        request = connection.look()
        if request is None or not self._decide(connection, request):
            self._serve(connection)

    def go_on(self, *, crowd: bool) -> None:
        """Give their threads to those that have a slot: after everybody at the door was answered.

        Receiving a body takes fifty times as long as refusing one, and the threads that do it would take the
        interpreter from the thread that refuses: `crowd` says that more clients wait to be answered.
        """
        now = time.monotonic()
        while self._granted and not (crowd and self._granted[0][0] > now):
            self._serve(self._granted.popleft()[1])

    def done(self, connection: Connection) -> None:
        """A thread is done with this connection's request: a place may be free now."""
        self._receiving.discard(connection)
        connection.release()
        self.retry()

    def retry(self) -> None:
        """Ask again for those that wait for a place; refuse them when their time is over."""
        for _ in range(len(self._waiting)):
            until, connection, request = self._waiting.popleft()
            if not self._decide(connection, request, until):
                self._serve(connection)

    def until(self) -> float | None:
        """When `go_on` or `retry` is due; None when nobody waits."""
        due = [waiting[0][0] for waiting in (self._granted, self._waiting) if waiting]
        return min(due, default=None)

    def _decide(self, connection: Connection, request: Any, until: float | None = None) -> bool:
        """Whether the request was dealt with here; else it is for a thread."""
        try:
            response, environ = wsgi.create(request, connection.sock, connection.client, connection.server, self._cfg)
            decision = self._gate.decide(environ)
        except Exception:  # here it would end the server: the thread meets it again, and answers
            return False
        if isinstance(decision, Admitted):
            connection.admitted = decision
            self._receiving.add(connection)
            self._granted.append((time.monotonic() + CROWD_S, connection))
            return True
        if decision is None:
            if not self._gate.reads_small_body(environ):
                return False
            self._collect(connection)
            return True
        if isinstance(decision, NoRoom):
            if until is None and self._make_way():
                until = time.monotonic() + MAKING_WAY_S
            if until is not None and time.monotonic() < until:
                self._waiting.append((until, connection, request))
                return True
        return self._refuse(connection, request, response, environ, decision)

    def _make_way(self) -> bool:
        """Let go of an upload that is too slow to keep its place while another one wants it."""
        now = time.monotonic()
        if now - self._looked_at < LOOK_AGAIN_S:
            return False
        slow = next((each for each in self._receiving if each.parser.unreader.is_slow()), None)
        if slow is None:
            self._looked_at = now
            return False
        self._receiving.discard(slow)
        slow.parser.unreader.let_go()
        return True

    def _refuse(
        self, connection: Connection, request: Any, response: Any, environ: dict[str, Any], refusal: Refused
    ) -> bool:
        answer = self._gate.answer(environ, refusal)
        if answer is None:
            return False
        response.status, lines, body = answer
        response.force_close()
        connection.answer(f"{''.join(response.default_headers())}{lines}\r\n".encode("latin-1") + body)
        self._log.access(response, request, environ, timedelta())
        self._answered(connection)
        return True

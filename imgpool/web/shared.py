"""Answers that all watchers of a page share: made at most once in `SHARED_S`, however many ask.

For requests that say `watch`, as the status page does; whoever does not gets an answer of this moment. What a visitor
may not see is never in another's answer: the key says whose images there are.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, cast

from flask import Response, current_app, request

from imgpool.web.visitors import visitor

SHARED_S = 0.2
MOST = 64


class Shared:
    """A few answers, young ones. Any thread; while one is made, the others who want any wait for it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._answers: dict[tuple[object, ...], tuple[float, bytes, str]] = {}

    def get(self, key: tuple[object, ...], make: Callable[[], Response]) -> tuple[bytes, str]:
        """Body and ETag of the answer, made now or a moment ago. Raises what `make` does."""
        with self._lock:
            now = self._clock()
            found = self._answers.get(key)
            if found is None or now - found[0] >= SHARED_S:
                response = make()
                found = (now, response.get_data(), str(response.get_etag()[0]))
                if len(self._answers) >= MOST:
                    self._answers.clear()
                self._answers[key] = found
            return found[1:]

    def forget(self) -> None:
        """Something was changed on purpose, and whoever did it shall see it at once."""
        with self._lock:
            self._answers.clear()


def shared() -> Shared:
    """Those of this application."""
    return cast(Shared, current_app.extensions["imgpool.shared"])


def for_watchers(make: Callable[[], Response]) -> Response:
    """The answer to this request, shared when it says `watch`; 304 when the client has it. `make` sets an ETag."""
    if "watch" not in request.args:
        return cast(Response, make().make_conditional(request))
    key: tuple[Any, ...] = (request.path, request.query_string, visitor().sees_only)
    body, etag = shared().get(key, make)
    response = Response(body, mimetype="application/json")
    response.set_etag(etag)
    response.headers["Cache-Control"] = "no-cache"
    return cast(Response, response.make_conditional(request))

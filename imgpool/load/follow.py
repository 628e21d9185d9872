"""Follows accepted images to their end, with few questions.

Asks for the oldest ones only, and at most some dozens of times a second, so that the asking is no load of its own.
When an image ended is taken from the server's own clock (`finished_at` less `received_at`, added to the moment of the
202), so that asking seldom does not blur it.
"""

from __future__ import annotations

import http.client
import json
import time
from collections import deque
from datetime import datetime
from typing import Any

from imgpool.load.record import Followed, Record
from imgpool.load.target import Target

LOOK_AT = 12
PAUSE_S = 0.1
GIVE_UP_S = 5.0


class Follower:
    """`run` is for one greenlet; `add` may be called by any other."""

    def __init__(self, target: Target, record: Record) -> None:
        self._target, self._record = target, record
        self._waiting: deque[Followed] = deque()
        self._connection = target.connect(10)
        self._silent_since: float | None = None
        self.gone = False

    def add(self, image: Followed) -> None:
        """Follow this one, too."""
        self._record.images.append(image)
        self._waiting.append(image)

    @property
    def waiting(self) -> int:
        """Images that have not ended."""
        return len(self._waiting)

    def run(self) -> None:
        """Look, again and again, until killed."""
        while True:
            ended = self.look()
            if ended < LOOK_AT:
                time.sleep(PAUSE_S)

    def look(self) -> int:
        """Ask for the oldest ones, once; returns how many of them have ended."""
        ended = 0
        for image in list(self._waiting)[:LOOK_AT]:
            try:
                status, body = self._target.get(self._connection, f"/api/images/{image.image_id}")
            except (OSError, http.client.HTTPException):
                self._silent()
                return 0
            self._silent_since, self.gone = None, False
            if status == 200:
                _read(image, json.loads(body), self._record.now())
            elif status == 404:
                image.end = "lost"
            if image.end is not None:
                self._waiting.remove(image)
                ended += 1
        return ended

    def _silent(self) -> None:
        now = time.monotonic()
        if self._silent_since is None:
            self._silent_since = now
        self.gone = now - self._silent_since > GIVE_UP_S

    def close(self) -> None:
        """Nobody waits longer: what has not ended is unfinished, or lost with a server that is gone."""
        for image in self._waiting:
            image.end = "lost" if self._silent_since is not None else "unfinished"
        self._connection.close()


def _read(image: Followed, told: dict[str, Any], now_s: float) -> None:
    if told["state"] not in ("done", "failed"):
        return
    image.end, image.error = told["state"], told.get("error")
    took_s = _seconds_between(told.get("received_at"), told.get("finished_at"))
    image.ended_s = now_s if took_s is None else min(now_s, image.accepted_s + took_s)


def _seconds_between(earlier: str | None, later: str | None) -> float | None:
    if not earlier or not later:
        return None
    return max(0.0, (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds())

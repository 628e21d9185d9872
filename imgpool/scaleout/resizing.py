"""How many images all workers process at once, as people steer it: spread over the Celery workers that live.

Owns the thread that asks them. One whose processes are all busy gives them up later, and one that is just slow may not
answer: they are asked until all that are known to live have done it. Nothing is remembered beyond this process.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from celery import Celery

from imgpool.pool import Context
from imgpool.scaleout.broker import SET_WORKERS

log = logging.getLogger(__name__)

ANSWER_S = 1.0  # how long workers may take to answer


class Resizing:
    """`start` and `stop` frame the thread; any thread may call `want`. `living` tells the names of the workers that
    were heard of lately, and may block.
    """

    def __init__(self, app: Celery, living: Callable[[], set[str]]) -> None:
        self._app, self._living = app, living
        self._lock = threading.Lock()  # of the wish
        self._wanted: int | None = None  # until the workers have done it
        self._wake = threading.Event()
        self._stopping = Context()
        self._thread = threading.Thread(target=self._run, name="imgpool-steer", daemon=True)

    def start(self) -> None:
        """Ask the workers from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Ask no more. Blocks for `ANSWER_S` or two, when they are just being asked."""
        self._stopping.cancel("the server stops")
        self._wake.set()
        self._thread.join()

    def want(self, workers: int) -> None:
        """Have so many pool processes in all; each worker has one at least. Blocks on nothing."""
        with self._lock:
            self._wanted = workers
        self._wake.set()

    # In its thread

    def _run(self) -> None:
        while not self._stopping.done:
            with self._lock:
                wanted = self._wanted
            self._wake.wait(None if wanted is None else ANSWER_S)
            self._wake.clear()
            try:
                self._spread()
            except Exception as error:  # Celery's and the broker's, of many kinds
                log.error("the workers could not be steered: %s", error)

    def _spread(self) -> None:
        with self._lock:
            wanted = self._wanted
        if wanted is None:
            return
        # Who does not answer in time is there all the same: the others must not get its share.
        answered = {name for reply in self._app.control.ping(timeout=ANSWER_S) for name in reply}
        nodes = sorted(answered | self._living())
        if not nodes:
            return
        share, more = divmod(wanted, len(nodes))
        done = 0
        for chosen, n in ((nodes[:more], share + 1), (nodes[more:], max(1, share))):
            if chosen:
                answers: list[dict[str, Any]] = self._app.control.broadcast(
                    SET_WORKERS, arguments={"n": n}, destination=chosen, reply=True, timeout=ANSWER_S
                )
                done += sum(told["ok"] == told["wanted"] for answer in answers for told in answer.values())
        with self._lock:
            if done == len(nodes) and self._wanted == wanted:
                self._wanted = None

"""`imgpool worker`: Celery's own worker, whose pool processes make the variants.

The main process is Celery's and holds no connection to the database; each process of its pool has its own, made after
the fork (see `imgpool.scaleout.process`). What operators know of Celery holds: `celery inspect`, Flower, SIGTERM for a
warm shutdown, SIGQUIT for a cold one.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import sys
import threading
import time
from typing import Any

from billiard import pool
from celery import signals
from celery.worker.control import control_command

from imgpool.config import Settings
from imgpool.errors import SettingError
from imgpool.scaleout.broker import SET_WORKERS, TASK, Publisher, make_app, shown
from imgpool.scaleout.cluster import Cluster
from imgpool.scaleout.process import PoolProcess
from imgpool.service.records import StoreError
from imgpool.service.workshop import Workshop

log = logging.getLogger(__name__)

AGAIN_S = 1.0
STOP_S = 10.0  # for all that a stop does beside finishing images


class Worker:
    """One Celery worker: its application, and in each process of its pool a `PoolProcess`. One for a program."""

    def __init__(self, settings: Settings) -> None:
        """Raises `SettingError`."""
        if not settings.scaled_out:
            raise SettingError("--broker: not given, nor --database and --files: a worker needs all three")
        self._settings = settings
        workshop = Workshop(settings)
        self._concurrency = workshop.choice.workers
        self.app = make_app(settings)
        self._node = f"imgpool-{os.getpid()}@{socket.gethostname()}"
        # The pool's processes ignore signals, but see the end of a pipe, even when this process is killed.
        self._stop_read, self._stop_write = os.pipe()
        self._process: PoolProcess | None = None
        self.app.task(name=TASK, shared=False)(self._work)
        self.app.conf.imgpool_most_workers = workshop.budget.most_workers
        signals.celeryd_init.connect(self._named)
        signals.worker_ready.connect(self._ready)
        signals.worker_shutting_down.connect(self._shutting_down)
        signals.worker_process_init.connect(self._forked)
        signals.worker_process_shutdown.connect(self._ended)

    def check(self) -> None:
        """Whether all that a worker needs can be used. Blocks. Raises `SettingError` or `StoreError`."""
        try:
            self._settings.data_dir.mkdir(0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise SettingError(f"--data-dir: '{error.filename}' cannot be used: {error.strerror}") from error
        cluster = Cluster(self._settings, "worker", self._node)
        cluster.open()
        cluster.close()

    def run(self) -> int:
        """Work until SIGTERM or Ctrl-C, then finish what is under way; returns the exit status. Ends the program when
        that takes 10 s longer than an image may take.
        """
        worker = self.app.Worker(hostname=self._node, concurrency=self._concurrency, pool_cls="prefork", quiet=True)
        worker.start()
        return int(worker.exitcode or 0)

    # In Celery's main process

    def _named(self, sender: str, **_: Any) -> None:
        self._node = sender

    def _ready(self, **_: Any) -> None:
        print(f"imgpool: working for {shown(self._settings.broker or '')}", flush=True)  # noqa: T201 - the ready line

    def _shutting_down(self, **_: Any) -> None:
        self._close_write_end()
        # A warm shutdown of Celery's was seen not to end, after its broker and a process of its pool had been killed.
        limit = threading.Timer(self._settings.job_timeout_s + STOP_S, self._end_now)
        limit.daemon = True
        limit.start()

    def _end_now(self) -> None:
        """The processes of the pool end with this one; what they had in hand goes to others after its lease."""
        log.error("Celery does not end: all that could be finished is, so the worker ends without it")
        os._exit(1)

    def _close_write_end(self) -> None:
        if self._stop_write >= 0:
            os.close(self._stop_write)
            self._stop_write = -1

    # In a process of its pool

    def _forked(self, **_: Any) -> None:
        """Ready for images, or no process of the pool: Celery sends none before this returns, and goes on after an
        error, when each image would fail at once. So wait for a database or files that are away.
        """
        self._close_write_end()  # it is the main process' alone
        # In tenths of a second: a process that ends waits for the main process to take its last result, which a main
        # process that stops may never do. Nobody needs it, the outcome is in the records.
        pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = 20
        while self._process is None:
            try:
                self._process = PoolProcess(self._settings, self._node, Publisher(self.app), self._stop_read)
            except (StoreError, SettingError) as error:
                log.error("a process of the pool cannot begin, and tries again: %s", error)
                if select.select([self._stop_read], [], [], AGAIN_S)[0]:
                    sys.exit(0)  # the worker stops
            except Exception:
                log.exception("a process of the pool cannot begin, and another one will try")
                time.sleep(AGAIN_S)  # Celery makes the other one at once
                sys.exit(1)

    def _ended(self, **_: Any) -> None:
        if self._process is not None:
            self._process.close()

    def _work(self, image_id: str) -> None:
        """The task."""
        if self._process is None:
            raise RuntimeError("imgpool works in Celery's prefork pool only: leave --pool away")
        self._process.process(image_id)


@control_command(name=SET_WORKERS, args=[("n", int)], signature="N")  # type: ignore[untyped-decorator]  # celery ships no types
def set_workers(state: Any, n: int) -> dict[str, Any]:
    """Have so many processes in this worker's pool; one that is busy ends later, when it is asked again."""
    consumer = state.consumer
    n = max(1, min(n, consumer.app.conf.imgpool_most_workers))
    now = consumer.pool.num_processes
    if n > now:
        consumer.pool.grow(n - now)
        consumer._update_prefetch_count(n - now)
    while n < now:
        try:
            consumer.pool.shrink(1)
        except ValueError:  # all are busy
            break
        consumer._update_prefetch_count(-1)
        now -= 1
    return {"ok": consumer.pool.num_processes, "wanted": n}

"""Celery as it carries image IDs: one application, one task, one queue, and the thread that sends.

The broker is trusted with speed and never with memory: what is queued stands in the records, a message only says so
sooner than the sweeper would. So a broker that is away, or that forgets, costs time and no image, and no upload waits
for it.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections import deque
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from celery import Celery
from celery.app.amqp import AMQP
from kombu.connection import Connection

from imgpool.config import Settings
from imgpool.pool import Context

log = logging.getLogger(__name__)

TASK = "imgpool.process"
QUEUE = "imgpool"
SET_WORKERS = "imgpool_set_workers"
ANSWER_S = 2.0  # a broker that is silent for so long is away
AGAIN_S, LONGEST_AGAIN_S = 1.0, 3.0  # between two attempts to reach one that is away
MOST_WAITING = 10_000  # a second or two of the largest service; the sweeper finds the rest
LAST_WORDS_S = 2.0
GONE_S = 20  # after which a connection that carries nothing any more is given up, by a worker that waits for messages


def make_app(settings: Settings) -> Celery:
    """The application, connected to nothing yet, without a result backend: outcomes are in the records."""
    app = Celery("imgpool", broker=settings.broker, amqp=_Amqp, set_as_current=False, fixups=[])
    redis = (settings.broker or "").startswith("redis")
    app.conf.update(
        task_default_queue=QUEUE,
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        # A message is done with when the image is: one whose worker is killed comes again, as does one that its
        # worker had only fetched. Twice is harmless: only what is `queued` can be begun.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_proc_alive_timeout=60.0,  # a pool process is up when its decoder is
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_send_task_events=True,  # for Flower and `celery events`
        broker_connection_timeout=ANSWER_S,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_heartbeat=GONE_S / 2,  # RabbitMQ's; two that are missed end a connection
        broker_transport_options=_redis_options(settings) if redis else {},
    )
    return app


def _redis_options(settings: Settings) -> dict[str, Any]:
    # A worker waits for messages: of a network that is gone, or a firewall that forgot it, only the kernel would tell,
    # and after a quarter of an hour. One whose broker is slow, and acknowledges, is left alone.
    kernel = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 2, "TCP_USER_TIMEOUT": GONE_S * 1000}
    return {
        # After so long Redis hands a message out again; longer than any image takes, with what it may wait for.
        "visibility_timeout": visibility_timeout_s(settings),
        "socket_keepalive": True,
        "socket_keepalive_options": {getattr(socket, name): n for name, n in kernel.items() if hasattr(socket, name)},
    }


class _Prompt(Connection):
    """Celery's workers would ask for a broker that is away after 2, 4, 6, ... 30 s: after an outage of a minute nobody
    would work for another quarter of one.
    """

    def ensure_connection(self, *args: Any, **options: Any) -> Any:
        waits = {"interval_start": AGAIN_S, "interval_step": AGAIN_S, "interval_max": LONGEST_AGAIN_S}
        return super().ensure_connection(*args, **{**waits, **options})  # type: ignore[no-untyped-call]  # kombu's


class _Amqp(AMQP):  # type: ignore[misc]  # celery ships no types
    Connection = _Prompt


def visibility_timeout_s(settings: Settings) -> int:
    """After how long Redis gives a message that nobody confirmed to another worker."""
    return int(settings.max_attempts * settings.job_timeout_s + settings.lease_s) + 600


def shown(url: str) -> str:
    """The URL without its password."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    _, _, where = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{parts.username or ''}:***@{where}"))


class Publisher:
    """Sends image IDs from a thread of its own. `send` and `away` are for any thread; `start` and `stop` are called
    once.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._options: dict[str, Any] = dict(app.conf.broker_transport_options)
        if (app.conf.broker_url or "").startswith("redis"):
            self._options |= {"socket_timeout": ANSWER_S, "socket_connect_timeout": ANSWER_S, "max_retries": 0}
        else:
            self._options |= {"confirm_publish": True, "read_timeout": ANSWER_S, "write_timeout": ANSWER_S}
        self._waiting: deque[str] = deque(maxlen=MOST_WAITING)
        self._filled = threading.Condition()  # guards _waiting
        self._stopping = Context()
        self._away = False
        self._thread = threading.Thread(target=self._run, name="imgpool-publisher", daemon=True)

    def start(self) -> None:
        """Connect and send from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Send what waits, for `LAST_WORDS_S` at most. Blocks. The sweeper of another host finds the rest."""
        with self._filled:
            self._stopping.cancel("the server stops")
            self._filled.notify()
        self._thread.join(LAST_WORDS_S)

    def send(self, image_id: str) -> None:
        """Have a message sent soon. Never blocks or fails: with too many waiting, the sweeper gets the oldest."""
        with self._filled:
            self._waiting.append(image_id)
            self._filled.notify()

    @property
    def away(self) -> bool:
        """Whether the broker is, as far as was noticed. Blocks on nothing."""
        return self._away

    def _next(self) -> str | None:
        with self._filled:
            while not self._waiting:
                if self._stopping.done:
                    return None
                self._filled.wait()
            return self._waiting.popleft()

    def _run(self) -> None:
        while True:
            try:
                with (
                    self._app.connection_for_write(transport_options=self._options) as connection,
                    self._app.amqp.Producer(connection, auto_declare=True) as producer,
                ):
                    producer.maybe_declare(self._app.amqp.queues[QUEUE])  # before the first image has to wait for it
                    if self._away:
                        log.warning("the broker is back")
                        self._away = False
                    while (image_id := self._next()) is not None:
                        self._publish(producer, image_id)
                return
            except Exception as error:  # of many kinds; and without this thread every image would wait for the sweeper
                if not self._away:
                    log.error("the broker is away, images wait in the records: %s", error)
                self._away = True
            if self._stopping.wait(AGAIN_S):
                return

    def _publish(self, producer: Any, image_id: str) -> None:
        try:
            self._app.send_task(TASK, (image_id,), producer=producer, retry=False)
        except BaseException:
            with self._filled:
                if len(self._waiting) < MOST_WAITING:  # a full one would lose its newest for it
                    self._waiting.appendleft(image_id)
            raise

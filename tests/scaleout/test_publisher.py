"""Sending image IDs over a broker that is there, comes late, dies, freezes or returns: a real Redis. Nobody waits for
it, and what was to be sent while it was away is sent when it is back.
"""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis as Client
from redis.exceptions import RedisError

from imgpool.config import Settings
from imgpool.scaleout import broker
from imgpool.scaleout.broker import ANSWER_S, LAST_WORDS_S, QUEUE, Publisher, make_app
from servers.redis import Redis
from serving import wait_for

SOON_S = 120.0  # no test waits this long unless it fails


def queued(redis: Redis) -> list[str]:
    """The image IDs whose messages are in the broker, those first that were sent first."""
    with Client(port=redis.port, socket_timeout=2) as client:
        try:
            messages = [json.loads(message) for message in client.lrange(QUEUE, 0, -1)]  # type: ignore[union-attr]
        except RedisError:
            return []
    return [json.loads(base64.b64decode(message["body"]))[0][0] for message in reversed(messages)]


def wait_until_sent(redis: Redis, *image_ids: str) -> None:
    wait_for(lambda: queued(redis) == [*image_ids], f"messages for {image_ids}", SOON_S)


Start = Callable[[Redis], Publisher]


@pytest.fixture
def start(settings: Callable[..., Settings]) -> Iterator[Start]:
    started: list[Publisher] = []

    def run(redis: Redis) -> Publisher:
        where = {"database": "postgresql://nobody@127.0.0.1:9/none", "files": "file:///nowhere"}
        publisher = Publisher(make_app(settings(broker=redis.url, **where)))
        started.append(publisher)
        publisher.start()
        return publisher

    yield run
    for publisher in started:
        publisher.stop()


@pytest.fixture
def later(tmp_path: Path) -> Iterator[Redis]:
    """A broker that is not started yet."""
    server = Redis(tmp_path)
    yield server
    if hasattr(server, "process"):
        server.__exit__()


def sent_without_waiting(publisher: Publisher, *image_ids: str) -> None:
    began = time.monotonic()
    for image_id in image_ids:
        publisher.send(image_id)
    assert time.monotonic() - began < ANSWER_S, "who waits for a broker that is away waits at least so long"


def test_ids_are_sent_in_their_order(redis: Redis, start: Start) -> None:
    publisher = start(redis)
    sent_without_waiting(publisher, "a", "b", "c")
    wait_until_sent(redis, "a", "b", "c")
    assert not publisher.away


def test_a_broker_that_comes_late_gets_all_that_waited(
    later: Redis, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    publisher = start(later)
    sent_without_waiting(publisher, "a", "b")
    wait_for(lambda: publisher.away, "the notice that it is not there", SOON_S)
    sent_without_waiting(publisher, "c")
    later.start()
    wait_until_sent(later, "a", "b", "c")
    assert not publisher.away
    told = [message.split(",")[0] for message in caplog.messages if message.startswith("the broker")]
    assert told == ["the broker is away", "the broker is back"], "once each, however often it was tried"


def test_a_broker_that_was_killed_gets_what_is_sent_meanwhile(redis: Redis, start: Start) -> None:
    publisher = start(redis)
    sent_without_waiting(publisher, "lost")
    wait_until_sent(redis, "lost")
    redis.kill()
    sent_without_waiting(publisher, "a", "b")
    wait_for(lambda: publisher.away, "the notice that it is gone", SOON_S)
    redis.start()
    wait_until_sent(redis, "a", "b")  # what a broker forgets, a sweeper finds


@pytest.mark.alone  # it takes no longer than it may
def test_a_frozen_broker_is_given_up_and_nothing_is_lost(redis: Redis, start: Start) -> None:
    publisher = start(redis)
    sent_without_waiting(publisher, "first")
    wait_until_sent(redis, "first")
    redis.freeze()
    try:
        sent_without_waiting(publisher, "a", "b")
        began = time.monotonic()
        wait_for(lambda: publisher.away, "the notice that it says nothing", SOON_S)
        assert time.monotonic() - began < ANSWER_S + 3
        sent_without_waiting(publisher, "c")
    finally:
        redis.thaw()
    wait_for(lambda: {"a", "b", "c"} <= set(queued(redis)), "all messages", SOON_S)
    # It may do a moment later what it was asked while it was frozen: then a message comes twice, which is harmless.
    assert list(dict.fromkeys(queued(redis))) == ["first", "a", "b", "c"]


def test_with_too_many_waiting_the_newest_are_sent(later: Redis, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "MOST_WAITING", 3)
    publisher = start(later)
    sent_without_waiting(publisher, *"abcde")
    wait_for(lambda: publisher.away, "the notice that it is not there", SOON_S)
    later.start()
    wait_until_sent(later, "c", "d", "e")


@pytest.mark.alone
def test_stopping_sends_what_waits_and_waits_for_nobody(redis: Redis, start: Start) -> None:
    publisher = start(redis)
    sent_without_waiting(publisher, *"abc")
    publisher.stop()
    assert queued(redis) == [*"abc"]
    other = start(redis)
    redis.freeze()
    try:
        sent_without_waiting(other, "late")
        began = time.monotonic()
        other.stop()
        assert time.monotonic() - began < LAST_WORDS_S + 1
    finally:
        redis.thaw()


def test_workers_ask_soon_and_often_for_a_broker_that_is_away(
    later: Redis, settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Celery's consumer does; in hundredths of what it waits."""
    monkeypatch.setattr(broker, "AGAIN_S", broker.AGAIN_S / 100)
    monkeypatch.setattr(broker, "LONGEST_AGAIN_S", broker.LONGEST_AGAIN_S / 100)
    app = make_app(settings(broker=later.url, database="postgresql://nobody@127.0.0.1:9/none", files="file:///nowhere"))
    waits: list[float] = []

    def failed(error: Exception, wait_s: float) -> None:
        waits.append(wait_s)
        if len(waits) == 6:
            raise LookupError

    with app.connection_for_read() as connection, pytest.raises(LookupError):
        connection.ensure_connection(failed, None)
    assert max(waits) == pytest.approx(0.03)


def test_the_kernel_gives_up_a_workers_connection_that_carries_nothing_any_more(
    redis: Redis, settings: Callable[..., Settings]
) -> None:
    where = {"database": "postgresql://nobody@127.0.0.1:9/none", "files": "file:///nowhere"}
    with make_app(settings(broker=redis.url, **where)).connection_for_read() as connection:
        client = connection.default_channel.client
        client.ping()
        (waiting,) = client.connection_pool._available_connections
        sock = waiting._sock
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == broker.GONE_S * 1000

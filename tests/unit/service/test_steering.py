"""Steering: workers, places and pause at work, and the second chance of failed images."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from doubles import Gate, Watching, lawful, original, take
from imgpool.config import MOST_RECEIVING
from imgpool.errors import NoRoom, NotAllowed
from imgpool.service.memory import LIGHT_BYTES

Start = Callable[..., Watching]


def fail(service: Watching, images: dict[str, bytes], how_many: int) -> list[str]:
    """Images that failed, by a disk that lost their originals."""
    ids = []
    service.steering.pause()
    for _ in range(how_many):
        ids.append(take(service, images["tiny"]).id)
        path = original(service, ids[-1])
        path.rename(path.with_suffix(".away"))
    service.steering.resume()
    assert service.settled().failed >= how_many
    for image_id in ids:
        path = original(service, image_id)
        path.with_suffix(".away").rename(path)
    return ids


def test_workers_come_at_once_and_share_the_memory(start: Start, images: dict[str, bytes]) -> None:
    gate = Gate()
    service = start(workers=1, gate=gate, isolation="process", decode_memory_bytes=4 * LIGHT_BYTES)
    ids = [take(service, images["tiny"]).id for _ in range(4)]
    gate.wait_for(1)
    shared = service.status().memory.shared_bytes
    service.measures.finished(done=True, wait_s=0.0, service_s=3.0)
    assert service.measures.estimate_wait_s(4) == 12.0
    service.steering.set_workers(3)
    gate.wait_for(3)  # each in a decoder child of its own
    told = service.status()
    assert (told.workers, told.busy) == (3, 3)
    assert told.memory.shared_bytes == shared - 2 * LIGHT_BYTES
    assert service.measures.estimate_wait_s(4) == 4.0
    with pytest.raises(NotAllowed, match="1 to 3"):
        service.steering.set_workers(4)
    service.steering.set_workers(1)
    assert service.status().workers == 1
    gate.open()
    assert service.settled().done == len(ids)
    service.until(lambda: len(service.status().lanes) == 1)


def test_places_can_be_more_or_fewer_and_nothing_is_lost(start: Start, images: dict[str, bytes]) -> None:
    service = start(workers=1, queue_capacity=2)
    service.steering.pause()
    for _ in range(2):
        take(service, images["tiny"])
    with pytest.raises(NoRoom, match=r"All 2 places .* and the pool is paused, nobody can say for how long") as paused:
        take(service, images["tiny"])
    assert 30 <= (paused.value.retry_after_s or 0) <= 45
    service.steering.set_queue_capacity(3)
    take(service, images["tiny"])
    service.steering.set_queue_capacity(1)
    told = service.status()
    assert (told.queue.capacity, told.queue.buffered, told.accepting, told.paused) == (1, 3, False, True)
    service.steering.resume()
    assert service.settled().done == 3
    assert service.status().accepting
    for wrong in (0, -1, 100_001):
        with pytest.raises(NotAllowed, match="whole number from 1 to 100000"):
            service.steering.set_queue_capacity(wrong)


def test_a_very_large_queue_does_not_receive_all_at_once(start: Start) -> None:
    service = start(workers=1, queue_capacity=2)
    service.steering.set_queue_capacity(2 * MOST_RECEIVING)
    open_uploads = [service.admit() for _ in range(MOST_RECEIVING)]
    with pytest.raises(NoRoom, match=f"{MOST_RECEIVING} uploads are being received") as refused:
        service.admit()
    assert 1 <= (refused.value.retry_after_s or 0) <= 3
    open_uploads.pop().discard()
    open_uploads.append(service.admit())
    for each in open_uploads:
        each.discard()


def test_a_retry_takes_a_slot_or_leaves_the_image_failed(start: Start, images: dict[str, bytes]) -> None:
    service = start(workers=1, queue_capacity=1)
    (image_id,) = fail(service, images, 1)
    held = service.admit()
    with pytest.raises(NoRoom):
        service.retries.retry(image_id)
    assert service.record(image_id).state == "failed"
    held.discard()
    assert service.retries.retry(image_id)
    service.settled()
    assert service.record(image_id).state == "done"
    assert not service.retries.retry(image_id)
    assert not service.retries.retry("0" * 32)
    assert service.status().queue.reserved == 0


def test_all_failed_go_back_as_room_comes_and_uploads_still_find_some(start: Start, images: dict[str, bytes]) -> None:
    gate = Gate()
    gate.open()
    service = start(workers=1, queue_capacity=4, gate=gate)
    for _ in range(5):
        fail(service, images, 2)
    service.steering.pause()
    assert service.retries.retry_all() == 10
    service.until(lambda: (service.status().queue.buffered, service.status().retrying.images) == (2, 2))
    take(service, images["tiny"])
    take(service, images["tiny"])
    told = service.status()
    assert (told.queue.buffered, told.retrying.active, told.retrying.images) == (4, True, 2)
    assert lawful(told.counts)
    service.steering.resume()
    service.until(lambda: service.records.counts().done == 12)
    service.until(lambda: not service.status().retrying.active)
    assert service.status().retrying.images == 10
    assert service.retries.retry_all() == 0


def test_what_fails_again_is_not_retried_for_ever(start: Start, images: dict[str, bytes]) -> None:
    service = start(workers=1)
    image_id = take(service, images["truncated"]).id
    assert service.settled().failed == 1
    assert service.retries.retry_all() == 1
    service.until(lambda: not service.status().retrying.active)
    assert service.settled().failed == 1
    assert service.record(image_id).attempts == 1
    assert service.status().retrying.images == 1


def test_a_stop_ends_retrying_and_leaves_the_rest_failed(start: Start, images: dict[str, bytes]) -> None:
    service = start(workers=1, queue_capacity=2)
    for _ in range(3):
        fail(service, images, 2)
    held = [service.admit(), service.admit()]
    service.retries.retry_all()
    for each in held:
        each.discard()
    service.stop(10)
    again = start()
    counts = again.settled()
    assert lawful(counts)
    assert counts.done + counts.failed == 6
    assert again.status().queue.capacity == again.settings.queue_capacity

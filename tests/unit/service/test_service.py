"""The heart as a whole: its life, admission, what it tells, and removal."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from doubles import WAIT_S, Gate, Watched, Watching, lawful, ours, take
from imgpool.config import Settings
from imgpool.errors import DataDirectoryInUse, DiskFull, Draining, NoRoom, Refused, SettingError
from imgpool.service import Service, StoreError
from imgpool.service.directory import Directory
from imgpool.service.workshop import Workshop

Start = Callable[..., Watching]
Make = Callable[..., Settings]


def test_making_one_starts_and_writes_nothing(settings: Make) -> None:
    before = set(threading.enumerate())
    service = Service(settings())
    assert set(threading.enumerate()) <= before
    assert not service.settings.data_dir.exists()
    assert not service.accepting


def test_a_recipe_that_cannot_be_read_is_a_bad_setting(settings: Make) -> None:
    with pytest.raises(SettingError, match=r"--recipe: 'huge=fit:1' is not allowed"):
        Service(settings(recipe="huge=fit:1"))


def test_workers_are_as_set_or_chosen(settings: Make) -> None:
    chosen = Workshop(settings(workers=3)).choice
    assert (chosen.workers, chosen.reason) == (3, "as set")
    chosen = Workshop(settings(workers=0)).choice
    assert chosen.workers >= 1
    assert "CPU" in chosen.reason


def test_start_and_stop_are_idempotent_and_it_starts_once(start: Start) -> None:
    service = start()
    service.start()
    assert service.accepting
    assert service.stop() == ()
    assert service.stop() == ()
    service.start()
    assert not service.accepting, "a stopped one stays stopped"


def test_a_stop_without_a_start_does_nothing(settings: Make) -> None:
    assert Service(settings()).stop() == ()


def test_the_number_of_workers_is_logged_with_its_reason(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        start(workers=1)
    assert "workers: 1 (as set)" in caplog.text


def test_a_second_service_on_the_directory_is_refused_by_name_of_the_process(start: Start, settings: Make) -> None:
    service = start()
    second = Service(settings())
    with pytest.raises(DataDirectoryInUse, match=rf"process {os.getpid()}\)"):
        second.start()
    assert not second.accepting
    service.stop()
    second.start()
    assert second.accepting
    second.stop()


@pytest.mark.parametrize("name", ["data_dir", "output_dir"])
def test_a_directory_that_cannot_be_used_is_named(settings: Make, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("not a directory")
    service = Service(settings(**{name: tmp_path / "file" / "below"}))
    for _ in range(2):
        with pytest.raises(SettingError, match=f"--{name.replace('_', '-')}: .*below' cannot be used"):
            service.start()


def test_an_output_directory_of_another_data_directory_is_refused_and_nothing_is_held(
    start: Start, settings: Make, tmp_path: Path
) -> None:
    start(output_dir=tmp_path / "shared").stop()
    other = Service(settings(data_dir=tmp_path / "other", output_dir=tmp_path / "shared"))
    with pytest.raises(SettingError, match="--output-dir"):
        other.start()
    right = Service(settings(data_dir=tmp_path / "other"))
    right.start()
    right.stop()


def test_a_database_of_another_version_is_refused(start: Start, settings: Make) -> None:
    import sqlite3

    start().stop()
    with sqlite3.connect(settings().data_dir / "imgpool.db") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(StoreError, match="another version"):
        Service(settings()).start()


def test_a_damaged_database_is_refused(settings: Make) -> None:
    settings().data_dir.mkdir()
    (settings().data_dir / "imgpool.db").write_bytes(b"this is no database" * 500)
    service = Service(settings())
    for _ in range(2):
        with pytest.raises(StoreError, match="cannot be used"):
            service.start()


class NoRecovery(Watched):
    failures = 1

    def recover(self, now: float, max_attempts: int) -> tuple[int, int]:
        if self.failures:
            NoRecovery.failures -= 1
            raise StoreError("the record store failed: disk I/O error")
        return super().recover(now, max_attempts)


def test_a_start_that_fails_halfway_holds_nothing_and_can_be_repeated(settings: Make) -> None:
    service = Watching(settings(), records=NoRecovery)
    with pytest.raises(StoreError):
        service.start()
    service.start()
    assert service.accepting
    service.stop()


def test_before_the_start_and_after_the_end_it_says_so(start: Start, settings: Make) -> None:
    new = Service(settings())
    asked: list[Callable[[Service], object]] = [
        lambda service: service.admit(),
        lambda service: service.status(),
        lambda service: service.get("0" * 32),
        lambda service: service.page(None, 1, None),
        lambda service: service.delete("0" * 32),
    ]
    for ask in asked:
        with pytest.raises(Draining) as error:
            ask(new)
        assert error.value.retry_after_s
    new.count_refused(error.value)
    old = start()
    old.stop()
    for ask in asked:
        with pytest.raises((Draining, StoreError)):
            ask(old)


def test_while_draining_nothing_is_admitted_and_what_was_is_finished(start: Start, images: dict[str, bytes]) -> None:
    service = start(gate=(gate := Gate()))
    take(service, images["jpeg"])
    service.drain_soon()
    with pytest.raises(Draining):
        service.admit()
    assert (service.status().accepting, service.status().reason) == (False, "draining")
    gate.open()
    assert service.settled().done == 1


def test_the_pool_may_close_between_the_look_and_the_slot(start: Start) -> None:
    service = start()
    service.pool.abort(timeout_s=5)
    with pytest.raises(Draining):
        service.admit()


def test_a_full_queue_refuses_with_a_time_to_come_back(start: Start, images: dict[str, bytes]) -> None:
    service = start(queue_capacity=2, workers=1)
    take(service, images["tiny"])
    service.settled()
    service.pool.pause()
    held = service.admit()
    take(service, images["tiny"])
    with pytest.raises(NoRoom, match="All 2 places") as error:
        service.admit()
    assert 1 <= (error.value.retry_after_s or 0) <= 120
    told = service.status()
    assert (told.accepting, told.reason) == (False, "no_room")
    assert (told.queue.buffered, told.queue.reserved, told.queue.capacity) == (1, 1, 2)
    assert told.wait_estimate_s is None, "paused: nobody can say"
    held.discard()
    assert service.status().accepting
    service.pool.resume()


def test_one_place_is_said_in_the_singular(start: Start) -> None:
    service = start(queue_capacity=1)
    held = service.admit()
    with pytest.raises(NoRoom, match="The one place in the queue is taken"):
        service.admit()
    held.discard()


def test_a_disk_at_its_floor_refuses(start: Start) -> None:
    service = start(disk_floor_bytes=1 << 50)
    with pytest.raises(DiskFull) as error:
        service.admit()
    assert (error.value.status, error.value.retry_after_s) == (507, 60)
    assert (service.status().accepting, service.status().reason) == (False, "disk_full")


def test_the_status_tells_who_works_on_what(start: Start, images: dict[str, bytes]) -> None:
    service = start(gate=(gate := Gate()), workers=2)
    image = take(service, images["jpeg"])
    gate.wait_for(1)
    told = service.status()
    assert (told.workers, told.busy) == (2, 1)
    assert sorted(lane.image or "" for lane in told.lanes) == ["", image.id]
    (working,) = (lane for lane in told.lanes if lane.image)
    assert working.worker.startswith("imgpool-worker-")
    assert 0 <= (working.for_s or -1) < WAIT_S
    assert told.counts.processing == 1
    assert told.free_bytes > 0
    assert told.uptime_s >= 0
    assert told.wait_estimate_s is None, "nothing was measured yet"


def test_the_law_of_the_counts_holds_at_every_moment_of_a_busy_run(start: Start, images: dict[str, bytes]) -> None:
    service = start(queue_capacity=4, workers=2)
    kinds = ["tiny", "jpeg", "text", "truncated"]
    accepted: list[str] = []
    tried = [0] * 4
    enough = threading.Event()  # looks, taken while it was busy
    limit = time.monotonic() + WAIT_S

    def upload(number: int) -> None:
        turn = 0
        while turn < 25 or not (enough.is_set() or time.monotonic() > limit):
            turn += 1
            try:
                accepted.append(take(service, images[kinds[(number + turn) % 4]]).id)
            except Refused:
                pass
            finally:
                tried[number] += 1
            if turn % 5 == 4 and accepted:
                service.delete(accepted[-1])

    threads = [threading.Thread(target=upload, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    looks = 0
    while any(thread.is_alive() for thread in threads):
        told = service.status()
        assert lawful(told.counts), told.counts
        assert told.measured.received == told.measured.accepted + sum(told.measured.refused_by.values())
        assert told.queue.buffered + told.queue.reserved <= told.queue.capacity
        looks += 1
        if looks == 30:
            enough.set()
    for thread in threads:
        thread.join(WAIT_S)
    assert min(tried) >= 25
    service.settled()
    service.stop()
    assert looks >= 30
    measured = service.measures.snapshot()
    assert measured.received == sum(tried)
    again = start()
    counts = again.records.counts()
    assert lawful(counts)
    assert counts.accepted == measured.accepted == len(accepted)
    assert counts.done + counts.failed + counts.deleted == counts.accepted
    assert ours(again.settings) == {record.id for record in again.page(None, 100_000, None)}


def test_prune_removes_what_is_old_and_finished(settings: Make, start: Start, images: dict[str, bytes]) -> None:
    service = start()
    for _ in range(3):
        take(service, images["tiny"])
    take(service, images["truncated"])
    service.settled()
    assert service.prune(3600) == 0
    assert service.prune(-1) == 4
    assert service.records.counts().deleted == 4
    assert ours(service.settings) == set()


def test_old_images_go_by_themselves(start: Start, images: dict[str, bytes]) -> None:
    first = start()
    old = take(first, images["tiny"])
    first.settled()
    first.stop()
    second = start(retention_days=1e-12)
    second.until(lambda: second.get(old.id) is None)
    second.stop()
    assert ours(second.settings) == set()


class Stuck(Directory):
    """Cannot delete at first."""

    asked = threading.Event()

    def delete(self, image_id: str) -> None:
        Stuck.asked.set()
        raise OSError(5, "Input/output error")


def test_a_retention_that_fails_does_not_hinder(start: Start, images: dict[str, bytes]) -> None:
    first = start()
    take(first, images["tiny"])
    first.settled()
    first.stop()
    second = start(retention_days=1e-12, files=Stuck)
    assert Stuck.asked.wait(WAIT_S)
    take(second, images["tiny"])
    second.until(lambda: second.measures.snapshot().done == 1)
    began = time.monotonic()
    second.stop()
    assert time.monotonic() - began < WAIT_S
    third = start()
    counts = third.records.counts()
    assert (counts.deleted, counts.done) == (0, 2), "what the disk does not let go of keeps its record"


class Unmounted(Directory):
    """The disk does not say how much room there is."""

    def free_bytes(self) -> int:
        raise FileNotFoundError(2, "No such file or directory")


def test_a_disk_that_does_not_answer_refuses(start: Start) -> None:
    service = start(files=Unmounted)
    with pytest.raises(Refused) as error:
        service.admit()
    assert (error.value.status, error.value.retry_after_s) == (503, 10)
    assert (service.status().accepting, service.status().reason) == (False, "store_failed")
    assert service.status().free_bytes is None


class ForgetfulOfOld(Watched):
    """Does not know at first what is old."""

    asked = threading.Event()

    def finished_before(self, moment: float, limit: int) -> list[str]:
        ForgetfulOfOld.asked.set()
        raise StoreError("the record store failed: disk I/O error")


def test_a_store_that_fails_the_retention_hinders_nothing_else(start: Start, images: dict[str, bytes]) -> None:
    service = start(retention_days=1e-12, records=ForgetfulOfOld)
    assert ForgetfulOfOld.asked.wait(WAIT_S)
    take(service, images["tiny"])
    assert service.settled().done == 1

"""The memory budget: giants wait for it in their places, small images do not, and it is told of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from doubles import Gate, Watching, lawful, ours, take
from imgpool.config import Settings
from imgpool.errors import NoRoom, SettingError
from imgpool.imaging.recipe import parse_recipe
from imgpool.service import Service
from imgpool.service.memory import LIGHT_BYTES, MIB, choose_budget
from pictures import flat

Start = Callable[..., Watching]
RECIPE = parse_recipe("thumb=fit:256x256")
BUDGET = 3 * LIGHT_BYTES  # with two workers: one share for all large images


def giant() -> bytes:
    """Needs about 240 MiB, and is decoded in a moment."""
    return flat(5000, 4000, "RGBA")


def test_half_of_the_memory_is_the_budget(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text(f"MemTotal: {8 * 1024**2} kB\n")
    budget = choose_budget(0, 2, 2048 * MIB, RECIPE, tmp_path)
    assert (budget.total_bytes, budget.weight_limit) == (4096 * MIB, 4096 * MIB - 2 * LIGHT_BYTES)
    assert budget.child_bytes == 2048 * MIB, "the limit of one image, when that is smaller"


def test_a_small_machine_still_has_room_for_one_larger_image(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text(f"MemTotal: {256 * 1024} kB\n")
    budget = choose_budget(0, 2, 2048 * MIB, RECIPE, tmp_path)
    assert budget.total_bytes == 3 * LIGHT_BYTES
    assert budget.child_bytes < 2 * LIGHT_BYTES


def test_a_budget_that_holds_no_more_than_the_workers_is_refused(settings: Callable[..., Settings]) -> None:
    with pytest.raises(SettingError, match=r"--decode-memory-bytes: 104857600 .* at least 384MiB"):
        Service(settings(decode_memory_bytes=100 * MIB))


def test_a_file_weighs_what_it_needs_beyond_its_workers_share(tmp_path: Path, images: dict[str, bytes]) -> None:
    budget = choose_budget(BUDGET, 2, 2048 * MIB, RECIPE)
    for name, data, least, most in (
        ("small", images["jpeg"], 0, 0),
        ("giant", giant(), 60 * MIB, LIGHT_BYTES),
        ("larger than the budget", flat(8_000, 8_000, "RGBA"), budget.weight_limit, 2048 * MIB),
        ("unknown", b"GIF89a", budget.weight_limit, budget.weight_limit),
    ):
        (tmp_path / name).write_bytes(data)
        assert least <= budget.weigh(tmp_path / name) <= most, name
    assert budget.weigh(tmp_path / "missing") == budget.weight_limit


def test_giants_wait_in_their_places_and_small_images_go_past(start: Start, images: dict[str, bytes]) -> None:
    gate = Gate()
    service = start(gate=gate, workers=2, queue_capacity=4, decode_memory_bytes=BUDGET)
    first = take(service, giant())
    gate.wait_for(1)
    waiting = [take(service, giant()) for _ in range(2)]
    small = take(service, images["jpeg"])
    gate.wait_for(2)
    assert gate.entered == [first.id, small.id]
    status = service.status()
    assert (status.busy, status.queue.buffered) == (2, 2)
    assert status.memory.waiting == 2
    assert 0 < status.memory.in_use_bytes <= status.memory.shared_bytes < status.memory.budget_bytes == BUDGET
    assert (status.counts.processing, status.counts.queued) == (2, 2)
    assert lawful(status.counts)
    for _ in range(2):
        take(service, images["jpeg"])
    with pytest.raises(NoRoom):  # what waits for memory is still in the queue
        take(service, images["jpeg"])
    gate.open()
    counts = service.settled()
    assert (counts.done, counts.failed) == (6, 0)
    assert [each for each in gate.entered if each in {first.id, *(image.id for image in waiting)}] == [
        first.id,
        *(image.id for image in waiting),
    ]
    assert service.status().memory.in_use_bytes == service.status().memory.waiting == 0


def test_what_waits_for_memory_can_be_deleted_and_is_handed_over_to_the_next_start(
    start: Start, hand_back_takes_its_time: None
) -> None:
    gate = Gate()
    service = start(gate=gate, workers=2, decode_memory_bytes=BUDGET)
    giants = [take(service, giant()) for _ in range(4)]
    gate.wait_for(1)
    assert service.delete(giants[1].id)
    assert sorted(service.stop(0.1)) == sorted(image.id for image in giants)  # the pool knows of no deletion
    again = start(gate=(second := Gate()), workers=2, decode_memory_bytes=BUDGET)
    second.wait_for(1)
    assert again.status().memory.in_use_bytes > 0, "weighed again, from the file"
    assert second.entered == [giants[0].id]
    second.open()
    counts = again.settled()
    assert (counts.done, counts.deleted) == (3, 1)
    assert all(again.record(image.id).attempts == 1 for image in giants if image is not giants[1])
    again.stop()
    assert ours(again.settings) == {image.id for image in giants if image is not giants[1]}

"""A clock that jumps does no harm: nothing is deleted before its time, and images are taken and done as ever."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from doubles import Watching, lawful, take
from imgpool.service.clock import Clock

DAY_S = 86_400.0
YEARS_S = 10 * 365 * DAY_S


class Hands:
    """Two clocks that a test moves."""

    def __init__(self) -> None:
        self.wall, self.monotonic = time.time(), 1000.0

    def pass_by(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds

    def clock(self) -> Clock:
        return Clock(lambda: self.wall, lambda: self.monotonic)


def test_both_bounds_follow_time_that_passes() -> None:
    hands = Hands()
    clock = hands.clock()
    hands.pass_by(100)
    assert clock.earliest() == clock.now() == clock.latest() == hands.wall


@pytest.mark.parametrize("jump_s", [YEARS_S, -YEARS_S])
def test_a_jump_moves_one_bound_only(jump_s: float) -> None:
    hands = Hands()
    clock = hands.clock()
    steady = hands.wall
    hands.wall += jump_s
    assert (clock.earliest(), clock.latest()) == tuple(sorted((steady, steady + jump_s)))


class Timed(Watching):
    """A service whose clocks the test moves."""

    hands: Hands

    def open(self) -> None:
        self._clock = self.hands.clock()
        super().open()


@pytest.mark.parametrize("jump_s", [YEARS_S, -YEARS_S])
def test_no_jump_deletes_an_image_before_its_time(
    start: Callable[..., Watching], images: dict[str, bytes], jump_s: float
) -> None:
    hands = Hands()
    service = start(kind=type("TimedNow", (Timed,), {"hands": hands}))
    before = take(service, images["jpeg"])
    service.settled()
    hands.wall += jump_s
    during = take(service, images["jpeg"])
    counts = service.settled()
    assert (counts.done, counts.failed) == (2, 0)
    assert service.prune(DAY_S) == 0
    hands.wall -= jump_s
    hands.pass_by(DAY_S / 2)
    assert service.prune(DAY_S) == 0, "half a day old"
    assert [record.id for record in service.page(None, 10, None)] == [during.id, before.id], "in their order"
    hands.pass_by(DAY_S)
    assert service.prune(DAY_S) == (2 if jump_s < 0 else 1), (
        "what seemed to end in the far future stays, and is not lost"
    )
    assert lawful(service.records.counts())

"""How much load, when."""

from __future__ import annotations

import itertools

import pytest

from imgpool.load.plan import Plan, make_plan
from imgpool.load.target import LoadError


def test_arrivals_come_evenly_and_as_many_as_asked() -> None:
    arrivals = list(make_plan(None, "20", 0, 3).arrivals())
    assert len(arrivals) == 60
    gaps = [later - earlier for earlier, later in itertools.pairwise(arrivals)]
    assert min(gaps) > 0.048
    assert max(gaps) < 0.052


def test_steps_follow_each_other() -> None:
    plan = make_plan(None, "10,40", 0, 2)
    arrivals = list(plan.arrivals())
    assert plan.duration_s == 4
    assert sum(at < 2 for at in arrivals) == pytest.approx(20, abs=1)
    assert sum(at >= 2 for at in arrivals) == pytest.approx(80, abs=1)


def test_a_ramp_climbs_from_the_step_before() -> None:
    plan = make_plan("10,20", None, 4, 6)
    assert [plan.level_at(at) for at in (0, 2, 4, 9.9, 10, 12, 14, 19.9, 20)] == [0, 5, 10, 10, 10, 15, 20, 20, 0]
    assert str(plan) == "10, 20 users, reached in 4 s, each held for 6 s"
    ramped = Plan("arrivals/s", (10.0,), 4.0, 6.0)
    assert len(list(ramped.arrivals())) == pytest.approx(10 * 4 / 2 + 60, abs=1)


@pytest.mark.parametrize(
    ("users", "rate", "hold_s", "named"),
    [
        ("0", None, 1, "--users"),
        ("ten", None, 1, "--users"),
        ("2.5", None, 1, "--users"),
        (None, "1,-2", 1, "--rate"),
        (None, "nan", 1, "--rate"),
        ("1", "1", 1, "exclude each other"),
        ("1", None, 0, "0 s"),
        ("1", None, 4000, "3600"),
        ("1", None, float("nan"), "3600"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_by_name(users: str, rate: str, hold_s: float, named: str) -> None:
    with pytest.raises(LoadError, match=named):
        make_plan(users, rate, 0, hold_s)

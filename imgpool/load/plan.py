"""How much load, when: levels, each held for a time, with or without a climb between them. Arithmetic only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from imgpool.load.target import LoadError

TICK_S = 0.001
MOST = 10_000
MOST_S = 3600.0


@dataclass(frozen=True)
class Plan:
    """`levels` are simultaneous users, or arrivals per second; each is reached in `ramp_s` and held for `hold_s`."""

    unit: Literal["users", "arrivals/s"]
    levels: tuple[float, ...]
    ramp_s: float
    hold_s: float

    @property
    def duration_s(self) -> float:
        """From the first moment to the last."""
        return len(self.levels) * (self.ramp_s + self.hold_s)

    def level_at(self, at_s: float) -> float:
        """The level at a moment; 0 before the beginning and after the end."""
        if not 0 <= at_s < self.duration_s:
            return 0.0
        step, within = divmod(at_s, self.ramp_s + self.hold_s)
        level = self.levels[int(step)]
        if within >= self.ramp_s:
            return level
        before = self.levels[int(step) - 1] if step else 0.0
        return before + (level - before) * within / self.ramp_s

    def arrivals(self) -> Iterator[float]:
        """The moments, in seconds from the beginning, at which an upload arrives: evenly, as the level says.

        They do not depend on what the server does: a slow one is not spared.
        """
        due = 0.5  # the first comes half a step after the beginning, the last half a step before the end
        for tick in range(round(self.duration_s / TICK_S)):
            due += self.level_at(tick * TICK_S) * TICK_S
            while due >= 1 - 1e-9:
                due -= 1
                yield tick * TICK_S

    def __str__(self) -> str:
        levels = ", ".join(f"{level:g}" for level in self.levels)
        ramp = f"reached in {self.ramp_s:g} s, " if self.ramp_s else ""
        return f"{levels} {self.unit}, {ramp}{'each ' if len(self.levels) > 1 else ''}held for {self.hold_s:g} s"


def make_plan(users: str | None, rate: str | None, ramp_s: float, hold_s: float) -> Plan:
    """A plan from options: one of `users` and `rate`, as "20" or in steps "10,20,40". Raises `LoadError`."""
    if users is not None and rate is not None:
        raise LoadError("--users and --rate exclude each other: simultaneous users, or arrivals per second")
    option, text = ("--rate", rate) if rate is not None else ("--users", users or "20")
    try:
        levels = tuple(float(each) if rate else int(each) for each in text.split(","))
    except ValueError:
        levels = ()
    if not levels or not all(0 < level <= MOST for level in levels):
        raise LoadError(f"{option}: {text!r} is not allowed; allowed: a number up to {MOST}, or several as 10,20,40")
    plan = Plan("arrivals/s" if rate is not None else "users", levels, ramp_s, hold_s)
    if not 0 < plan.duration_s <= MOST_S:
        raise LoadError(f"the test would take {plan.duration_s:g} s; allowed are more than 0 and at most {MOST_S:g}")
    return plan

"""An experiment: what is to be run, with which numbers. Checked here, so that whatever runs is small and ends soon.

Owns the bounds. A request that is over one of them gets a sentence that says what is allowed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, cast

from imgpool.learn.catalogue import LESSONS
from imgpool.learn.lab.work import KINDS, Kind
from imgpool.pool import Policy

LONGEST_S = 8.0  # what all jobs may take together, by their numbers
SHORT_LESSONS = ("worker_function", "complete_pool", "image_queue", "cancellation", "request_lifecycle")
IMAGE_MS = 250.0  # what a 12-megapixel photo is reckoned with; it is measured by nobody here

PROGRAM_FILES = {path.stem: path for path in (Path(__file__).parent / "programs").glob("[a-z]*.py")} | {
    f"lesson_{lesson.number}": lesson.path for lesson in LESSONS if lesson.slug in SHORT_LESSONS
}
"""What can be run, by name: the lab's own programs, and those lessons that end soon whatever the numbers are."""


def _number(default: int, least: int, most: int) -> Any:
    return field(default=default, metadata={"least": least, "most": most})


def _choice(default: object, *allowed: object) -> Any:
    return field(default=default, metadata={"allowed": allowed})


@dataclass(frozen=True, slots=True)
class Experiment:
    """The numbers of one run. `from_json` checks them; made directly they are taken as they are."""

    program: str = _choice("by_hand", *sorted(PROGRAM_FILES))
    workers: int = _number(3, 1, 8)
    jobs: int = _number(5, 1, 40)
    jobs_buffer: int = _number(5, 0, 20)
    results_buffer: int = _number(5, 0, 20)
    kind: Kind = _choice("wait", *KINDS)
    length_ms: int = _number(200, 0, 500)
    gap_ms: int = _number(0, 0, 200)
    policy: str = _choice("block", "block", "refuse", "drop_oldest", "caller_runs")
    collect: str = _choice("meanwhile", "meanwhile", "afterwards", "never")
    close: bool = _choice(True, True, False)
    deadline_ms: int = _number(500, 50, 2000)

    @property
    def pool_policy(self) -> Policy:
        """The policy as the pool's type has it."""
        return cast(Policy, self.policy)

    def for_lesson(self) -> dict[str, Any]:
        """The same in the words of the lessons' own parameters."""
        return {
            "workers": self.workers,
            "jobs": self.jobs,
            "buffer": self.jobs_buffer,
            "work_s": self.length_ms / 1000,
        }

    def as_json(self) -> dict[str, Any]:
        """The same as a mapping, which `from_json` takes."""
        return asdict(self)

    def expected_s(self) -> float:
        """How long it may take at most, when nothing goes wrong: the jobs one after the other, if they must."""
        each_ms = IMAGE_MS if self.kind == "image" else self.length_ms
        times = self.jobs + 1 if self.program == "deadlines" else 1  # job n works 2n portions, so the mean is jobs + 1
        at_once = 1 if self.kind == "compute" else self.jobs if self.program == "no_pool" else self.workers
        return (self.jobs * times * each_ms / at_once + self.jobs * self.gap_ms) / 1000


def from_json(given: Mapping[str, Any]) -> Experiment:
    """The experiment that a request asks for; what it leaves out has its default. Raises ValueError with a sentence."""
    known = {each.name: each for each in fields(Experiment)}
    for name, value in given.items():
        if name not in known:
            raise ValueError(f"{name[:40]!r} is no setting of an experiment; allowed are {', '.join(known)}.")
        bounds = known[name].metadata
        if "allowed" in bounds:
            if not any(type(value) is type(each) and value == each for each in bounds["allowed"]):
                allowed = ", ".join(str(each).lower() if isinstance(each, bool) else each for each in bounds["allowed"])
                raise ValueError(f"{name} is {value!r:.40}; allowed is one of {allowed}.")
        elif type(value) is not int or not bounds["least"] <= value <= bounds["most"]:
            allowed = f"a whole number {bounds['least']} to {bounds['most']}"
            raise ValueError(f"{name} is {value!r:.40}; allowed is {allowed}.")
    experiment = Experiment(**given)
    if experiment.policy in ("drop_oldest", "caller_runs") and experiment.results_buffer == 0:
        raise ValueError(f"The policy {experiment.policy} needs a results buffer of 1 or more.")
    if experiment.expected_s() > LONGEST_S:
        raise ValueError(
            f"That would take about {experiment.expected_s():.0f} s, and a run may take {LONGEST_S:.0f} s: "
            "fewer jobs, shorter ones, or more workers."
        )
    return experiment

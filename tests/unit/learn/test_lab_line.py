"""The line before the lab: one at a time, in order, bounded; and no thread that nobody needs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from imgpool.learn.lab.line import MOST_KEPT, Lab, LabFull, Seen
from imgpool.learn.lab.process import RunFailed
from imgpool.pool import Context

WAIT_S = 60.0


class Gated:
    """A run that waits at a gate, and tells when it is in."""

    def __init__(self, answer: str = "done") -> None:
        self.answer = answer
        self.entered, self.gate = threading.Event(), threading.Event()

    def __call__(self, ctx: Context) -> dict[str, Any]:
        self.entered.set()
        forget = ctx.on_done(self.gate.set)
        assert self.gate.wait(WAIT_S)
        forget()
        if ctx.done:
            raise RunFailed("cut off")
        return {"answer": self.answer}


@pytest.fixture
def stopping() -> Iterator[Context]:
    context = Context()
    yield context
    context.cancel("the test is over")


def ended(lab: Lab, run: Seen) -> Seen:
    """Wait until the line is empty, and its thread with it; then look at a run."""
    for thread in lab_threads():
        thread.join(WAIT_S)
    seen = lab.look(run.id)
    assert seen is not None
    return seen


def quick(ctx: Context) -> dict[str, Any]:
    return {}


def lab_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "imgpool-lab"]


def test_one_runs_and_the_others_see_their_place(stopping: Context) -> None:
    lab = Lab(stopping)
    assert not lab_threads()
    first, second, third = Gated("first"), Gated("second"), Gated("third")
    runs = [lab.ask(each) for each in (first, second, third)]
    assert first.entered.wait(WAIT_S)
    assert [(seen.state, seen.place) for run in runs if (seen := lab.look(run.id))] == [
        ("running", 0),
        ("waiting", 1),
        ("waiting", 2),
    ]
    assert not second.entered.is_set()
    first.gate.set()
    assert second.entered.wait(WAIT_S)
    assert [(seen.state, seen.place) for run in runs if (seen := lab.look(run.id))] == [
        ("done", 0),
        ("running", 0),
        ("waiting", 1),
    ]
    second.gate.set()
    third.gate.set()
    assert ended(lab, runs[2]).result == {"answer": "third"}
    assert not lab_threads(), "the thread ends with the line"
    assert ended(lab, lab.ask(quick)).state == "done"


def test_the_line_is_bounded_and_says_so(stopping: Context) -> None:
    lab = Lab(stopping, most_waiting=2)
    running = Gated()
    lab.ask(running)
    assert running.entered.wait(WAIT_S)
    waiting = [lab.ask(quick) for _ in range(2)]
    with pytest.raises(LabFull, match="2 runs wait"):
        lab.ask(quick)
    running.gate.set()
    assert ended(lab, waiting[1]).state == "done"


def test_only_the_last_few_are_kept(stopping: Context) -> None:
    lab = Lab(stopping)
    runs = []
    for _ in range(MOST_KEPT + 3):
        runs.append(lab.ask(quick))
        ended(lab, runs[-1])
    assert lab.look(runs[0].id) is None
    assert lab.look(runs[-1].id) is not None
    assert lab.look("unknown") is None


def test_when_the_server_stops_nothing_more_runs(stopping: Context) -> None:
    lab = Lab(stopping)
    running = Gated()
    first, second = lab.ask(running), lab.ask(quick)
    assert running.entered.wait(WAIT_S)
    stopping.cancel("the server stops")
    for thread in lab_threads():
        thread.join(WAIT_S)
    assert [(seen.state, seen.error) for run in (first, second) if (seen := lab.look(run.id))] == [
        ("failed", "cut off"),
        ("failed", "The server stops: run it again later."),
    ]


def _fails(ctx: Context) -> dict[str, Any]:
    raise ZeroDivisionError("by nobody")


@pytest.mark.parametrize(("perform", "said"), [(_fails, "The lab made a mistake: by nobody")])
def test_a_run_that_fails_does_not_stop_the_line(
    stopping: Context, perform: Callable[[Context], dict[str, Any]], said: str
) -> None:
    lab = Lab(stopping)
    seen = ended(lab, lab.ask(perform))
    assert (seen.state, seen.error, seen.result) == ("failed", said, None)

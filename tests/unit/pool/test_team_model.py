"""The deadlock detector against a plain model: no false alarm, and no deadlock missed.

The programs are drawn at random: threads that send and receive in a fixed order, on channels with one sender and one
receiver each. Of such a program it is known that whether it ends does not depend on who runs when. So a model that runs
it step by step, in one thread, knows the answer; and the real threads, as they happen to run, must give the same.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from imgpool.pool import DeadlockError, Team

Step = tuple[str, int]  # "send" or "receive", and the channel's number


@dataclass
class Script:
    """`capacities` of the channels; of each thread, its steps. Thread 0 is the one that makes the team."""

    capacities: list[int]
    steps: list[list[Step]]


@st.composite
def scripts(draw: st.DrawFn) -> Script:
    threads = draw(st.integers(2, 4))
    capacities = draw(st.lists(st.integers(0, 2), min_size=1, max_size=4))
    ends = [draw(st.permutations(range(threads)))[:2] for _ in capacities]
    steps: list[list[Step]] = [[] for _ in range(threads)]
    for _ in range(draw(st.integers(0, 16))):
        channel = draw(st.integers(0, len(capacities) - 1))
        sender, receiver = ends[channel]
        # Mostly both ends, so that many programs end well; sometimes one alone.
        which = draw(st.sampled_from(["both", "both", "both", "both", "send", "receive"]))
        if which != "receive":
            steps[sender].append(("send", channel))
        if which != "send":
            steps[receiver].append(("receive", channel))
    for thread, own in enumerate(steps):
        if draw(st.booleans()):
            steps[thread] = draw(st.permutations(own))
    return Script(capacities, steps)


def ends_well(script: Script) -> bool:
    """The model: any thread that can take its next step does, until none can."""
    at = [0] * len(script.steps)
    held = [0] * len(script.capacities)

    def next_step(thread: int) -> Step | None:
        return script.steps[thread][at[thread]] if at[thread] < len(script.steps[thread]) else None

    def try_step(thread: int) -> bool:
        step = next_step(thread)
        if step is None:
            return False
        what, channel = step
        if script.capacities[channel] == 0:
            other = "receive" if what == "send" else "send"
            partner = next((each for each in range(len(at)) if next_step(each) == (other, channel)), None)
            if partner is None:
                return False
            at[partner] += 1
        elif what == "send":
            if held[channel] == script.capacities[channel]:
                return False
            held[channel] += 1
        elif held[channel] == 0:
            return False
        else:
            held[channel] -= 1
        at[thread] += 1
        return True

    while any(try_step(thread) for thread in range(len(at))):
        pass
    return all(next_step(thread) is None for thread in range(len(at)))


def run(script: Script) -> bool:
    def follow(own: list[Step]) -> None:
        for what, channel in own:
            if what == "send":
                channels[channel].send(what)
            else:
                channels[channel].receive()

    try:
        with Team() as team:
            channels = [team.channel(capacity) for capacity in script.capacities]
            for own in script.steps[1:]:
                team.start(follow, own)
            follow(script.steps[0])
    except DeadlockError:
        return False
    return True


@settings(max_examples=400, deadline=None)
@given(script=scripts())
def test_alarm_exactly_when_the_program_cannot_end(script: Script) -> None:
    before = set(threading.enumerate())
    assert run(script) == ends_well(script)
    assert set(threading.enumerate()) <= before

"""A run in figures: how long each thread worked, stood blocked, had nothing to do; what came out, how fast.

Works them out from the recorded steps alone, so that they say the same as the replay.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from imgpool.learn.lab.record import Step

_BEGINS = {"starts": "working", "waits to send": "blocked", "waits to take": "idle"}
_ENDS = {"finishes": "working", "sent": "blocked", "took": "idle", "gave up": ""}


def figures(steps: list[Step], ended_ms: float) -> dict[str, Any]:
    """The figures of a run that went on until `ended_ms`: what a thread was in the middle of counts until then."""
    spent: dict[str, dict[str, float]] = defaultdict(lambda: {"working": 0.0, "blocked": 0.0, "idle": 0.0})
    since: dict[tuple[str, str], float] = {}
    count: dict[str, int] = defaultdict(int)
    results: list[str] = []
    most_working = 0
    told = any(step["what"] == "starts" for step in steps)
    for step in steps if told else _with_work(steps):
        who, what, at_ms = step["who"], step["what"], step["at_ms"]
        count[what] += 1
        if what in _BEGINS:
            since[who, _BEGINS[what]] = at_ms
        elif what in _ENDS:
            for state in (_ENDS[what],) if _ENDS[what] else ("blocked", "idle"):
                if (began := since.pop((who, state), None)) is not None:
                    spent[who][state] += at_ms - began
        if what == "starts":
            most_working = max(most_working, sum(state == "working" for _, state in since))
        if what == "took" and step.get("channel") == "results":
            results.append(step["item"])
    for (who, state), began in since.items():
        spent[who][state] += ended_ms - began
    done = count["finishes"]
    return {
        "ended_ms": round(ended_ms, 1),
        "jobs_done": done,
        "jobs_per_s": round(done / ended_ms * 1000, 2) if ended_ms else 0.0,
        "most_working": most_working,
        "refused": count["refused"],
        "dropped": count["dropped"],
        "results": results,
        "threads": {
            who: {f"{state}_ms": round(ms, 1) for state, ms in states.items()} for who, states in spent.items()
        },
    }


def _with_work(steps: list[Step]) -> Iterator[Step]:
    """For a program that does not tell when it works: from taking a job until sending its result, or waiting to."""
    in_hand: dict[str, str] = {}
    for step in steps:
        who, what, where = step["who"], step["what"], step.get("channel")
        if who in in_hand and where == "results" and what in ("sent", "waits to send"):
            yield {**step, "what": "finishes", "item": in_hand.pop(who)}
        yield step
        if what == "took" and where == "jobs":
            in_hand[who] = step["item"]
            yield {**step, "what": "starts"}

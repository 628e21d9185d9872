"""From what happened to numbers."""

from __future__ import annotations

import errno
import json
import os

import pytest

from imgpool.load.plan import Plan
from imgpool.load.record import ClientSample, Followed, Record, ServerSample, Try
from imgpool.load.report import load_page
from imgpool.load.summary import percentiles, summarise
from imgpool.load.terminal import result_lines
from imgpool.load.upload import Answer

PLAN = Plan("arrivals/s", (2.0,), 0.0, 5.0)


def record_of(*tries: Try, images: list[Followed] | None = None, cpu: float = 0.1) -> Record:
    record = Record(tries=list(tries), images=images or [])
    record.arrivals = list(PLAN.arrivals())
    record.client = [ClientSample(at / 2, cpu, 1) for at in range(10)]
    record.server = [ServerSample(1.0, 3, 64, 2, 100 * 1024**2, 1.5)]
    return record


def taken(due_s: float, ended_s: float) -> Try:
    return Try("once", due_s, due_s, ended_s, Answer("accepted", 202, image_id="a"), due_s)


def refused(due_s: float, ended_s: float, reason: str = "no_room") -> Try:
    return Try("once", due_s, due_s, ended_s, Answer("refused", 503, reason), due_s)


def test_percentiles_are_values_that_were_measured() -> None:
    assert percentiles([]) == {"count": 0, "p50": None, "p90": None, "p99": None, "max": None}
    assert percentiles([3.0]) == {"count": 1, "p50": 3.0, "p90": 3.0, "p99": 3.0, "max": 3.0}
    assert percentiles(range(1, 101)) == {"count": 100, "p50": 50, "p90": 90, "p99": 99, "max": 100}


def test_totals_latencies_and_goodput() -> None:
    images = [
        Followed("a", 0.0, 0.5, 2.0, "done"),
        Followed("b", 1.0, 1.5, 7.0, "done"),  # after the load's end: done, and no part of the goodput
        Followed("c", 2.0, 2.5, 3.0, "failed", "It is damaged."),
        Followed("d", 3.0, 3.5, None, "lost"),
    ]
    tries = [taken(0, 0.5), taken(1, 1.5), taken(2, 2.5), taken(3, 3.5), refused(4, 4.01), refused(4, 4.03, "draining")]
    reset = Try("once", 4.5, 4.5, 5.0, Answer("reset", reason="Connection reset by peer"), 4.5)
    result = summarise(record_of(*tries, reset, images=images), PLAN, url="u", clients=["once"], images=["x.jpg"])

    assert result["answers"] == {"accepted": 4, "refused": 2, "reset": 1, "unanswered": 0, "unreachable": 0}
    assert result["ended"] == {"done": 2, "failed": 1, "lost": 1, "unfinished": 0}
    assert result["refused_by"] == {"no_room": 1, "draining": 1}
    assert result["goodput_per_s"] == pytest.approx(1 / 5)
    assert result["latency_s"]["end_to_end"]["max"] == 6.0
    assert result["latency_s"]["refusal"]["p50"] == pytest.approx(0.01)
    assert sum(result["timeline"]["per_s"]["due"]) * result["timeline"]["bucket_s"] == 10
    assert not result["client"]["bottleneck"]
    json.dumps(result)

    text = "\n".join(result_lines(result))
    assert "refused 2 (no_room 1, draining 1) · reset 1" in text
    assert "It is damaged." in text
    assert "was not the bottleneck" in text
    page = load_page(result)
    assert page.count("<svg") == 4
    assert "<script" not in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", ""), "a page that needs nothing from outside"


def test_a_client_at_its_limit_says_so() -> None:
    def why(record: Record) -> str:
        told = summarise(record, PLAN, url="u", clients=[], images=[])["client"]
        assert told["bottleneck"] == bool(told["why"])
        return "; ".join(told["why"])

    assert why(record_of(taken(0, 1))) == ""
    assert "99% of the one core" in why(record_of(taken(0, 1), cpu=0.99))
    late = Try("once", 1.0, 1.4, 2.0, Answer("accepted", 202, image_id="a"), 1.0)
    assert "began 0.40 s late" in why(record_of(late))
    none_left = Try("once", 1.0, 1.0, 1.0, Answer("unreachable", reason=os.strerror(errno.EMFILE)), 1.0)
    assert "ulimit" in why(record_of(none_left))
    fewer = record_of(taken(0, 1))
    fewer.arrivals.pop()
    assert "1 of 10 arrivals were never begun" in why(fewer)


def test_a_page_says_names_from_outside_as_text() -> None:
    record = record_of(refused(1, 2, "<script>alert(1)</script>"))
    assert "<script" not in load_page(summarise(record, PLAN, url="u", clients=[], images=[]))


def test_a_test_in_which_nothing_happened_has_a_result() -> None:
    result = summarise(Record(), PLAN, url="u", clients=[], images=[])
    assert result["goodput_per_s"] == 0
    assert "it tells nothing of itself" in "\n".join(result_lines(result))
    assert "Nothing: each upload was taken" in load_page(result)

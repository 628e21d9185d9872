"""What an experiment and a flood may be, how figures are worked out, and that a listing is the file."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from imgpool.learn.lab import flood
from imgpool.learn.lab.experiment import PROGRAM_FILES, from_json
from imgpool.learn.lab.figures import figures
from imgpool.learn.lab.listing import listing
from imgpool.learn.lab.record import MOST_STEPS, Record, label
from imgpool.pool import Job


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"worker": 3}, "'worker' is no setting of an experiment; allowed are program, workers"),
        ({"workers": 0}, "workers is 0; allowed is a whole number 1 to 8."),
        ({"workers": True}, "workers is True; allowed is a whole number 1 to 8."),
        ({"workers": "3"}, "workers is '3'; allowed"),
        ({"jobs": 10**9}, "jobs is 1000000000; allowed is a whole number 1 to 40."),
        ({"program": "../../etc/passwd"}, "program is '../../etc/passwd'; allowed is one of by_hand"),
        ({"close": 1}, "close is 1; allowed is one of true, false."),
        ({"policy": "drop_oldest", "results_buffer": 0}, "needs a results buffer"),
        ({"jobs": 40, "workers": 1, "length_ms": 400}, "would take about 16 s, and a run may take 8 s: fewer jobs"),
        ({"jobs": 40, "workers": 8, "length_ms": 500, "kind": "compute"}, "about 20 s"),
        ({"program": "deadlines", "jobs": 20, "length_ms": 200}, "would take about"),
    ],
)
def test_what_cannot_be_run_is_told_what_is_allowed(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError) as error:
        from_json(given)
    assert said in str(error.value)
    assert len(str(error.value)) < 300


def test_an_experiment_goes_through_json_unchanged() -> None:
    experiment = from_json({"program": "pool", "policy": "refuse", "close": False, "workers": 8})
    assert from_json(experiment.as_json()) == experiment


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "list of 1 to 300 moments"),
        ({"arrivals_ms": [0] * 301}, "list of 1 to 300 moments"),
        ({"arrivals_ms": [-1]}, "whole number 0 to 20000"),
        ({"arrivals_ms": [0.5]}, "whole number 0 to 20000"),
        ({"arrivals_ms": [0], "double": "rm -rf"}, "allowed is one of thread_per_upload, unbounded_executor"),
        ({"arrivals_ms": [0], "memory": 1}, "'memory' is no setting"),
    ],
)
def test_a_flood_is_bounded(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        flood.from_json(given)


def test_figures_are_worked_out_from_the_steps() -> None:
    def step(at_ms: float, who: str, what: str, **more: Any) -> dict[str, Any]:
        return {"at_ms": at_ms, "who": who, "what": what, **more}

    told = figures(
        [
            step(0, "w", "waits to take", channel="jobs"),
            step(10, "w", "took", channel="jobs", item="1"),
            step(10, "w", "starts", item="1"),
            step(12, "m", "waits to send", channel="jobs", item="2"),
            step(30, "w", "finishes", item="1"),
            step(32, "m", "sent", channel="jobs", item="2"),
            step(33, "c", "took", channel="results", item="1"),
            step(35, "m", "refused", item="3"),
            step(40, "w", "starts", item="2"),
        ],
        100,
    )
    assert told["threads"]["w"] == {"working_ms": 80.0, "blocked_ms": 0.0, "idle_ms": 10.0}
    assert told["threads"]["m"]["blocked_ms"] == 20.0
    assert (told["jobs_done"], told["refused"], told["most_working"], told["results"]) == (1, 1, 1, ["1"])
    assert told["jobs_per_s"] == 10.0


def test_a_record_names_threads_and_is_bounded() -> None:
    record = Record("program.py")
    names = ["pool-worker-12", "worker 3", "Thread-7 (worker)", "Thread-8 (worker)", "producer", "MainThread"]
    told = [record.name_of(threading.Thread(name=name)) for name in names]
    assert told == ["worker 12", "worker 3", "worker 1", "worker 2", "producer", "main"]
    for _ in range(MOST_STEPS + 5):
        record.step("main", "line", line=1)
    assert len(record.steps) == MOST_STEPS
    assert record.cut
    record = Record("program.py")
    ended_ms = record.end()
    record.step("main", "line", line=1)
    assert (record.steps, record.end()) == ([], ended_ms)


def test_an_item_is_labelled_by_its_job() -> None:
    assert label(Job(7, "image-01", 0.0)) == "image-01"
    assert label(Path("a/b.jpg")) == "b.jpg"
    assert label("x" * 100) == "x" * 23 + "…"


@pytest.mark.parametrize("program", PROGRAM_FILES)
def test_a_listing_is_the_file(program: str, tmp_path: Path) -> None:
    lines = listing(PROGRAM_FILES[program])
    assert ["".join(text for _, text in line) for line in lines] == PROGRAM_FILES[program].read_text().splitlines()
    assert {kind for line in lines for kind, _ in line} >= {"", "word", "string"}

"""Runs of the lab as they really are: each in its own child process, on the real pool."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest

from imgpool.imaging.samples import sample_images
from imgpool.learn.lab.experiment import PROGRAM_FILES, from_json
from imgpool.learn.lab.limits import SCRATCH
from imgpool.learn.lab.process import RunFailed, run_in_child
from imgpool.pool import Context

pytestmark = pytest.mark.alone  # a run measures, and gives way to everything else that runs

CHILD = "imgpool.learn.lab.child"
PHOTO = next(path for path in sample_images() if path.name == "aurora.avif")


def request(**given: Any) -> dict[str, Any]:
    return {"photo": str(PHOTO), "experiment": from_json(given).as_json()}


def run(**given: Any) -> dict[str, Any]:
    trace = run_in_child(CHILD, request(**given), Context())
    assert trace["cut"] is False
    return trace


def prints(trace: dict[str, Any]) -> list[str]:
    return [step["text"] for step in trace["steps"] if step["what"] == "prints"]


def check_it_could_be(trace: dict[str, Any]) -> None:
    """Whatever the threads did: no channel held more than it has places for, nothing came out before it went in."""
    inside: dict[str, list[str]] = {name: [] for name in trace["channels"]}
    last_ms = 0.0
    for step in trace["steps"]:
        assert step["at_ms"] >= last_ms
        last_ms = step["at_ms"]
        if "channel" not in step:
            continue
        name = step["channel"]
        assert len(step["buffered"]) <= trace["channels"][name]
        if step["what"] == "sent":
            inside[name].append(step["item"])
        elif step["what"] in ("took", "dropped"):
            inside[name].remove(step["item"])  # ValueError: it came out before it went in
        if step["senders"] and trace["channels"][name]:
            assert len(step["buffered"]) == trace["channels"][name], "nobody is blocked while there is a place"
    if trace["ended"] == "done":
        assert all(not items for items in inside.values()), inside


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"jobs_buffer": 0, "results_buffer": 0, "jobs": 8, "length_ms": 5},
        {"jobs_buffer": 1, "workers": 1, "jobs": 6, "length_ms": 5, "gap_ms": 3},
        {"workers": 8, "jobs": 30, "length_ms": 1, "results_buffer": 1},
    ],
    ids=str,
)
def test_a_pool_made_by_hand(given: dict[str, Any]) -> None:
    trace = run(**given)
    check_it_could_be(trace)
    jobs = trace["experiment"]["jobs"]
    assert trace["ended"] == "done"
    assert sorted(map(int, trace["figures"]["results"])) == [2 * job for job in range(1, jobs + 1)]
    assert len(prints(trace)) == jobs
    assert trace["figures"]["jobs_done"] == jobs
    assert 1 <= trace["figures"]["most_working"] <= trace["experiment"]["workers"]


def test_the_lines_are_the_programs_own() -> None:
    trace = run(jobs=3, length_ms=1)
    source = PROGRAM_FILES["by_hand"].read_text().splitlines()
    sends = {
        source[line - 1].strip()
        for before, step in zip(trace["steps"], trace["steps"][1:], strict=False)
        if step["what"] in ("sent", "waits to send") and before["what"] == "line" and before["who"] == step["who"]
        for line in [before["line"]]
    }
    assert sends <= {"jobs.send(job)", "results.send(job * 2)"}
    assert "jobs.send(job)" in sends


@pytest.mark.parametrize(("jobs", "ended"), [(8, "done"), (9, "deadlock")])
def test_sending_everything_first_ends_well_up_to_a_number(jobs: int, ended: str) -> None:
    trace = run(collect="afterwards", workers=3, jobs_buffer=2, results_buffer=3, jobs=jobs, length_ms=1)
    check_it_could_be(trace)
    assert trace["ended"] == ended
    if ended == "deadlock":
        assert trace["diagnosis"]["mistake"] == "not collected"
        assert "main waits to send 9" in trace["diagnosis"]["text"]
        last = [step for step in trace["steps"] if step.get("channel") == "results"][-1]
        assert len(last["senders"]) == 3, "the recording ends while they are blocked, not after their release"


def test_a_channel_that_is_never_closed() -> None:
    trace = run(close=False, length_ms=1)
    assert trace["ended"] == "deadlock"
    assert trace["diagnosis"]["mistake"] == "not closed"
    assert len(trace["figures"]["results"]) == 5


@pytest.mark.parametrize("policy", ["block", "refuse", "drop_oldest", "caller_runs"])
def test_each_policy_at_a_full_channel(policy: str) -> None:
    trace = run(program="pool", policy=policy, workers=1, jobs=8, jobs_buffer=2, length_ms=150)
    check_it_could_be(trace)
    figures = trace["figures"]
    main = figures["threads"].get("main", {"blocked_ms": 0, "working_ms": 0})
    assert figures["jobs_done"] + figures["refused"] + figures["dropped"] == 8
    assert (figures["refused"] > 0) == (policy == "refuse")
    assert (figures["dropped"] > 0) == (policy == "drop_oldest")
    assert (main["working_ms"] > 50) == (policy == "caller_runs")
    assert (main["blocked_ms"] > 50) == (policy == "block")


def test_without_a_pool_all_run_at_once_and_photos_take_memory() -> None:
    # Each waits for longer than a busy machine takes to start them all; a photo may be done before the last one begins.
    assert run(program="no_pool", jobs=12, length_ms=500)["figures"]["most_working"] == 12
    crowd = run(program="no_pool", jobs=12, kind="image")
    few = run(workers=2, jobs=12, kind="image")
    assert few["figures"]["most_working"] == 2
    assert crowd["figures"]["memory_bytes"] > 1.5 * few["figures"]["memory_bytes"]


def test_a_deadline_stops_the_longer_jobs() -> None:
    trace = run(program="deadlines", jobs=8, workers=8, length_ms=100, deadline_ms=1200)
    ends = dict(line.removeprefix("Job ").split(maxsplit=1) for line in prints(trace))
    # Jobs of 200 to 1600 ms. Those in the middle may go either way: a run of the lab gives way to all else.
    assert set(ends) == {str(job) for job in range(1, 9)}
    assert ends["1"].startswith("succeeded after ")
    for job in "78":
        assert ends[job].startswith("failed after ")
        assert ends[job].endswith(": deadline exceeded")


def test_a_lesson_runs_as_it_is_and_prints_what_it_prints_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    trace = run(program="lesson_2", length_ms=5)
    check_it_could_be(trace)
    runpy.run_path(str(PROGRAM_FILES["lesson_2"]))["main"](work_s=0.005)

    def told(lines: list[str]) -> list[str]:
        return sorted(line if line.startswith("Result") else line.split("processing")[1] for line in lines)

    assert told(prints(trace)) == told(capsys.readouterr().out.splitlines())


def test_a_run_ends_at_once_when_the_context_does() -> None:
    stopping = Context()
    timer = threading.Timer(0.3, stopping.cancel)
    timer.start()
    with pytest.raises(RunFailed, match="The server stops"):
        run_in_child(CHILD, request(jobs=20, workers=1, length_ms=300), stopping)
    timer.join()


def test_the_child_ends_with_whoever_started_it_and_so_do_its_files(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    (scratch / "of a photo").mkdir(parents=True)
    child = subprocess.Popen(
        [sys.executable, "-m", CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env=os.environ | {SCRATCH: str(scratch)},
    )
    assert child.stdin is not None
    child.stdin.write(json.dumps(request(jobs=20, workers=1, length_ms=300)).encode() + b"\n")
    child.stdin.close()
    assert child.wait(timeout=60) == 1
    assert not scratch.exists()


def test_a_child_that_is_killed_leaves_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "litters.py").write_text(
        "import os, signal, tempfile; tempfile.mkdtemp(); tempfile.mkstemp(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)  # look at the variable again
    with pytest.raises(RunFailed, match="ended with status -9"):
        run_in_child("litters", {}, Context())
    assert list(temporary.iterdir()) == []


def test_a_child_that_breaks_says_how(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match=r"broke off before its end: .*No module named"):
        run_in_child("imgpool.learn.lab.nowhere", {}, Context())


def test_a_child_that_takes_too_long_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "sleeps.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGALRM)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(RunFailed, match="longer than it may"):
        run_in_child("sleeps", {}, Context())


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_child_gives_way_to_everything_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = "import os; from imgpool.learn.lab.limits import give_way, live_within; live_within(5); give_way(); "
    program += "print([os.nice(0), int(open('/proc/self/oom_score_adj').read())])"
    (tmp_path / "gives_way.py").write_text(program)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert run_in_child("gives_way", {}, Context()) == [19, 1000]


def test_the_child_sees_no_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A module that answers with its environment, found by the path that a child may have."""
    (tmp_path / "tells.py").write_text(
        "import json, os, sys; sys.stdin.readline(); print(json.dumps(dict(os.environ)))"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("IMGPOOL_TOKEN", "secret")
    told = run_in_child("tells", {}, Context())
    assert "IMGPOOL_TOKEN" not in told
    assert set(told) < set(os.environ) | {"PYTHONPATH", "LC_CTYPE", "TMPDIR", SCRATCH}

"""What each lesson prints, as far as it is the same each time; and that its parameters count."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from imgpool.cli import main
from imgpool.learn.catalogue import LESSONS

WAIT_S = 60.0


def lesson(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["lesson", *map(str, arguments)])


def output(*arguments: object) -> list[str]:
    told = lesson(*arguments, "--run")
    assert told.exit_code == 0, told.output
    return told.stdout.splitlines()


def table(lines: list[str], columns: int) -> list[list[str]]:
    """The rows of numbers, without the chart behind them."""
    rows = [line.replace(" ms", "").replace("%", "").split() for line in lines]
    return [row[:columns] for row in rows if row and row[0].isdecimal()]


def test_the_list_has_every_lesson() -> None:
    told = lesson()
    assert told.exit_code == 0
    for each in LESSONS:
        assert f"{each.number:3}  {each.title}\n" in told.stdout


def test_a_lesson_is_shown_and_run() -> None:
    told = lesson(1, "--jobs", 2).stdout
    assert told.startswith(LESSONS[0].source())
    assert "imgpool lesson 1 --jobs 2 ─" in told
    assert told.endswith("Sent 2, received 4.\nThe worker has seen that jobs is closed, and ends.\n")


def test_the_source_alone_is_a_program(tmp_path: Path) -> None:
    copy = tmp_path / "mine.py"
    copy.write_text(lesson(1, "--source").stdout)
    told = subprocess.run([sys.executable, copy], capture_output=True, text=True, timeout=WAIT_S, check=True)
    assert told.stdout.splitlines()[:2] == ["Sent 1, received 2.", "Sent 2, received 4."]
    assert len(told.stdout.splitlines()) == 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([99], f"there is no lesson 99; there are 1 to {len(LESSONS)}"),
        ([0], "there is no lesson 0"),
        ([2, "--colour", "red"], "lesson 2 has no --colour; it has --workers, --buffer, --jobs, --work-s"),
        ([2, "--workers", "two"], "--workers: 'two' is not allowed; allowed: a whole number from 1 to 10000, as 3"),
        ([2, "--workers", "-1"], "--workers: '-1' is not allowed"),
        ([2, "--workers", "9" * 5000], "--workers: '999"),
        ([2, "--work-s", "1e9"], "--work-s: '1e9' is not allowed; allowed: seconds from 0.001 to 60, as 0.05"),
        ([2, "--work-s", "nan"], "--work-s: 'nan' is not allowed"),
        ([5, "--workers", "1,,2"], "--workers: '1,,2' is not allowed"),
        ([2, "--workers"], "--workers needs a value"),
        ([2, "workers"], "lesson 2: 'workers' is not a parameter"),
        ([3, "--workers", "0"], "--workers: '0' is not allowed; allowed: a whole number from 1 to 10000, as 3"),
        ([5, "--jobs", "0"], "--jobs: '0' is not allowed"),
        ([7, "--burst", "0"], "--burst: '0' is not allowed"),
        ([10, "--work-s", "0"], "--work-s: '0' is not allowed"),
        ([6, "--jobs", "101"], "lesson 6: jobs is 101, allowed is 100 at most"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(arguments: list[object], said: str) -> None:
    told = lesson(*arguments, "--run")
    assert told.exit_code == 2
    assert told.stdout == ""
    assert told.stderr.startswith(f"imgpool: {said}")
    assert len(told.stderr.splitlines()) == 1


def test_1_worker_function() -> None:
    assert output(1, "--jobs=2") == [
        "Sent 1, received 2.",
        "Sent 2, received 4.",
        "The worker has seen that jobs is closed, and ends.",
    ]


def test_2_complete_pool() -> None:
    # With no more places than this, five jobs are sent only when each of the three workers has one in its hands.
    lines = output(2, "--buffer", 1)
    work = [match for line in lines if (match := re.fullmatch(r"Worker ([123]) processing job ([1-5])", line))]
    assert sorted(match[2] for match in work) == list("12345")
    assert {match[1] for match in work} == {"1", "2", "3"}
    assert sorted(line for line in lines if line.startswith("Result")) == [f"Result: {n}" for n in (10, 2, 4, 6, 8)]
    assert len(lines) == 10


def test_2_complete_pool_with_a_job_too_many_is_diagnosed() -> None:
    told = lesson(2, "--run", "--jobs", 14, "--work-s", 0.001)
    assert told.exit_code == 1
    said = told.stderr.replace("\n", " ")
    assert said.startswith(
        "deadlock: main waits to send 14: jobs buffer full, 5 of 5; workers 1-3 wait to send: "
        "results buffer full, 5 of 5; nobody receives. Nobody collects from results"
    )


def test_3_how_it_works() -> None:
    lines = output(3, "--jobs", 4, "--workers", 2)
    assert lines[0] == "Results: [2, 4, 6, 8]"
    events = [match.groups() for line in lines if (match := re.match(r" *([\d.]+) ms  (\w+) +(\d*)", line))]
    for number in "1234":
        assert [kind for _, kind, job in events if job == number] == ["submitted", "started", "finished"]
    assert [kind for _, kind, _ in events].count("worker_stopped") == 2
    lanes = [line for line in lines if re.match(r"pool-worker-[12]  ", line)]
    assert len(lanes) == 2
    drawn = set("".join(lane.split("  ", 1)[1] for lane in lanes)) - set(" .")
    assert drawn <= set("1234")
    # What is much shorter than the whole has no place in the picture: where something else took its time meanwhile.
    begun, ended = ({job: float(at) for at, kind, job in events if kind == which} for which in ("started", "finished"))
    column_ms = float(events[-1][0]) / 60
    assert {number for number in "1234" if ended[number] - begun[number] > 2 * column_ms} <= drawn


def test_4_image_queue() -> None:
    lines = output(4, "--recipe", "thumb=fit:64x64")
    assert re.fullmatch(r"image-01 +\d+ ms   aurora.avif 1920x1280: thumb.jpg 64x43", sorted(lines)[1])
    assert sorted(lines)[0].startswith("image-00 failed      04_image_queue.py: The file is not an image")
    assert sum("forest-orientation-6.jpg 3000x4000: thumb.jpg 48x64" in line for line in lines) == 1
    assert len(lines) == 18


@pytest.mark.alone
def test_5_number_of_workers() -> None:
    lines = output(5, "--workers", "2,1", "--jobs", 4)
    computes, waits = (lines.index(f"A job that {work}:") for work in ("computes", "waits"))
    for part in (lines[computes:waits], lines[waits:]):
        rows = table(part, 3)
        assert [row[0] for row in rows] == ["1", "2"]
        assert all(float(rate) > 0 and int(peak) > 20 for _, rate, peak in rows)
        assert re.match(r"I would take [12]: \d+% of the best rate on \d+ cores; more ", part[4])
    one, two = (float(rate) for _, rate, _ in table(lines[waits:], 3))
    assert two > 1.3 * one  # two can wait at the same time on any machine
    assert lines[waits + 4].startswith("I would take 2: 100%")


def test_6_uncontrolled_threads() -> None:
    lines = output(6, "--jobs", 6, "--workers", 1)
    (pool, crowd) = (next(line for line in lines if line.startswith(name)).split() for name in ("with_a_p", "with_a_t"))
    assert int(crowd[1]) > int(pool[1])
    assert int(crowd[3]) > int(pool[3])  # megabytes: six pictures at once, and not one


@pytest.mark.alone
def test_7_buffers() -> None:
    lines = output(7, "--stream", 12, "--capacities", "0,5,10")
    burst, stream = table(lines[:6], 3), table(lines[6:], 3)
    assert [row[0] for row in burst] == [row[0] for row in stream] == ["0", "5", "10"]
    stood = [int(row[1]) for row in burst]
    assert stood[0] >= 85  # nine of ten jobs take 10 ms each before the last one can be handed over
    assert stood[1] >= 35
    assert stood[2] < stood[0]


def test_8_mistakes() -> None:
    text = " ".join("\n".join(output(8, "--too-many", 20)).split())
    assert (
        "Forgot to close jobs: deadlock: main waits for the end of workers 1-3; workers 1-3 wait to receive: jobs is "
        "empty and not closed. jobs was never closed, so workers 1-3 cannot know that nothing more comes: call close() "
        "after the last send to jobs."
    ) in text
    assert (
        "Forgot to collect: deadlock: main waits to send 14: jobs buffer full, 5 of 5; workers 1-3 wait to send: "
        "results buffer full, 5 of 5; nobody receives. Nobody collects from results: collect in another thread"
    ) in text
    assert "At least 15 of the 20 were started for nothing." in text


def test_9_the_law() -> None:
    lines = output(9, "--workers", "1,3", "--jobs-buffer", "0,2", "--results-buffer", 2)
    assert [re.findall(r"\d+", line) for line in lines[1:]] == [
        ["1", "0", "2", "3", "3", "4"],
        ["1", "2", "2", "5", "5", "6"],
        ["3", "0", "2", "5", "5", "6"],
        ["3", "2", "2", "7", "7", "8"],
    ]
    assert all(line.endswith("  as the law says") for line in lines[1:])


@pytest.mark.alone
def test_10_your_turn() -> None:
    lines = output(10, "--workers", "1,4", "--jobs", 4, "--work-s", 0.05)
    rows = table(lines, 2)
    assert [row[0] for row in rows] == ["1", "4"]
    assert float(rows[0][1]) >= 0.2
    assert float(rows[1][1]) < float(rows[0][1])
    assert lines[-1] == "Results: [2, 4, 6, 8]"


def test_11_timeouts() -> None:
    lines = output(11, "--steps", "1,2000", "--job-timeout-s", 0.2)
    assert re.fullmatch(r"  2000 steps: out of time after \d+", lines[1])
    assert lines[2:] == [
        "  succeeded: 1 steps done",
        "  failed: DeadlineExceeded",
        "A wait has a limit of its own:",
        "  no place became free in time",
        "One deadline for several waits:",
        "  received: fills the buffer",
        "  nothing more came before the deadline; 0.0 s left",
    ]


def test_12_cancellation() -> None:
    lines = output(12)
    assert lines[:5] == [
        "thumbnail  ended: the client went away",
        "request    ended: the client went away",
        "other      goes on",
        "server     goes on",
        "A thread that waited for an item was woken at once: the server stops",
    ]
    assert sorted(lines[5:]) == [
        "job 1  cancelled after it had begun: enough",
        "job 2  cancelled before it began: enough",
        "job 3  cancelled before it began: enough",
    ]


def test_13_request_lifecycle(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    sleep = time.sleep

    def noting(seconds: float) -> None:
        slept.append(seconds)
        sleep(seconds)

    monkeypatch.setattr(time, "sleep", noting)
    lines = output(13, "--places", 2, "--requests", 4)
    assert lines[:4] == [
        "request 1: 202 accepted, it waits in the queue",
        "request 2: 202 accepted, it waits in the queue",
        "request 3: 503 refused, the queue is full",
        "request 4: 503 refused, the queue is full",
    ]
    assert re.fullmatch(r"request 1: answer for request 1; it waited \d+\.\d{3} s", lines[4])
    assert re.fullmatch(r"request 2: skipped, its client did not wait; \d+\.\d{3} s of work", lines[5])
    assert len(lines) == 6
    assert slept.count(0.01) == 1, "nobody worked for request 2"

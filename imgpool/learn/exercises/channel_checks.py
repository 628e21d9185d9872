"""What is checked in the exercises on channels, 1 to 5. Each check is a generator of findings, as `checks` says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from imgpool.learn.exercises.finding import Finding, say
from imgpool.learn.exercises.program import Missing, Program, Run


def _printed_all(run: Run, expected: list[int], hint: str = "") -> Finding:
    got = sorted(run.results())
    return say(
        got == sorted(expected),
        f"{run.said} prints the {len(expected)} right results",
        f'{run.said} should print "Result: N" for each of {", ".join(map(str, expected))}; '
        f"it prints {', '.join(map(str, got)) or 'no such line'}{hint}",
    )


def squares(program: Program) -> Iterator[Finding]:
    """Exercise 1."""
    run = program.call("main", jobs=7, workers=2)
    yield run.no_deadlock()
    doubles = sorted(run.results()) == [2 * number for number in range(1, 8)]
    expected = [number * number for number in range(1, 8)]
    yield _printed_all(run, expected, " (these are still doubles)" if doubles else "")
    yield run.through_workers(expected, "the squares")


def more_workers(program: Program) -> Iterator[Finding]:
    """Exercise 2."""
    for workers, jobs in ((4, 12), (2, 6)):
        run = program.call("run", workers, jobs)
        yield run.no_deadlock()
        at_once = _most_at_once(run)
        yield say(
            at_once == workers,
            f"{run.said}: {workers} workers at work at the same time, {run.took_s:.2f} s",
            f"{run.said} should have {workers} workers at work at the same time; it has {at_once}",
        )
    run = program.call("main")
    rows = {int(row[1]): float(row[2]) for row in re.finditer(r"^\D*(\d+)\D+(\d+\.\d+)", run.printed, re.MULTILINE)}
    yield say(
        sorted(rows) == [1, 2, 4, 8],
        "main() prints a line for 1, 2, 4 and 8 workers",
        'main() should print a line with the number of workers and the seconds, like "4 0.15", for 1, 2, 4 and 8 '
        f"workers; it has them for {', '.join(map(str, sorted(rows))) or 'none'}",
    )
    took = {team.item: team.ended - team.began for team in run.of("team")}
    jobs = sum(note.on == "results" for note in run.of("send"))
    yield say(
        sorted(took) == [1, 2, 4, 8] and jobs == 48,
        "main() really ran 12 jobs with each of them",
        f"main() should run 12 jobs with each number of workers; it ran {jobs} jobs in all, with teams of "
        f"{', '.join(map(str, sorted(took))) or 'no'} workers",
    )
    if not rows:
        return
    wrong = [n for n, seconds in rows.items() if abs(seconds - took.get(n, 0)) > 0.06 + 0.1 * took.get(n, 0)]
    yield say(
        not wrong,
        "the times are right: " + ", ".join(f"{workers}: {seconds:g} s" for workers, seconds in sorted(rows.items())),
        f"the time printed for {', '.join(map(str, wrong))} workers is not what it took: "
        + ", ".join(f"{workers}: {seconds:.2f} s" for workers, seconds in sorted(took.items())),
    )


def _most_at_once(run: Run) -> int:
    """Return the largest number of threads that had a job between receiving it and sending its result."""
    changes: list[tuple[float, int]] = []
    for thread in {note.thread for note in run.notes} - {"main"}:
        mine = sorted((note for note in run.notes if note.thread == thread), key=lambda note: note.ended)
        for taken, sent in pairwise(mine):
            if taken.kind == "receive" and sent.kind == "send":
                changes += [(taken.ended, 1), (sent.began, -1)]
    most = now = 0
    for _, change in sorted(changes):
        now += change
        most = max(most, now)
    return most


def close(program: Program) -> Iterator[Finding]:
    """Exercise 3."""
    for jobs, workers in ((6, 2), (0, 3)):
        run = program.call("main", jobs=jobs, workers=workers)
        yield run.no_deadlock()
        doubles = [2 * number for number in range(1, jobs + 1)]
        yield _printed_all(run, doubles)
        yield run.through_workers(doubles, "the doubles")
        yield say(
            bool(run.of("close", "jobs")),
            "the jobs channel is closed",
            "the jobs channel is never closed",
        )


def collect(program: Program) -> Iterator[Finding]:
    """Exercise 4."""
    for jobs, buffer in ((40, 2), (20, 0)):
        run = program.call("main", jobs=jobs, workers=3, buffer=buffer)
        yield run.no_deadlock()
        doubles = [2 * number for number in range(1, jobs + 1)]
        yield _printed_all(run, doubles)
        yield run.through_workers(doubles, "the doubles")
        larger = [note for note in run.of("channel") if note.item > buffer]
        yield say(
            not larger,
            f"no channel has more than {buffer} places",
            "a larger buffer only moves the moment: "
            f"{', '.join(f'{each.on} has {each.item} places' for each in larger)}, allowed are {buffer}",
        )


def buffers(program: Program) -> Iterator[Finding]:
    """Exercise 5."""
    for capacity in (0, 4, 12):
        run = program.call("blocked_s", capacity, 12)
        stood = sum(note.ended - note.began for note in run.of("send") if note.thread == "main")
        if len(run.of("send")) != 12:
            raise Missing(f"{run.said} should send 12 jobs from the main thread; it sent {len(run.of('send'))}")
        if not isinstance(run.value, int | float):
            raise Missing(f"{run.said} should return seconds; it returned {run.value!r}")
        yield say(
            abs(run.value - stood) <= 0.02 + 0.1 * stood,
            f"{run.said}: the producer stood for {stood:.3f} s",
            f"{run.said} returned {run.value:.3f} s; the producer stood for {stood:.3f} s",
        )

"""The lab's child: `python -m imgpool.learn.lab.child`, started by `process` only. It runs one program and ends.

Reads one JSON line, an experiment, from standard input; writes one JSON document, the trace, to standard output. Lives
behind limits that it sets on itself first: of time (an alarm that it does not handle), of memory, of priority (uploads
go first), of life (it ends when its standard input does, that is, with whoever started it).
"""

from __future__ import annotations

import contextlib
import inspect
import io
import json
import os
import resource
import runpy
import sys
import threading
from collections import defaultdict
from pathlib import Path
from typing import Any

import imgpool.pool
from imgpool.learn.lab import work
from imgpool.learn.lab.experiment import PROGRAM_FILES, Experiment, from_json
from imgpool.learn.lab.figures import figures
from imgpool.learn.lab.limits import end_with_parent, give_way, live_within
from imgpool.learn.lab.record import Record, label
from imgpool.learn.lab.witness import watch_channels
from imgpool.pool import DeadlockError, Event, WorkerPool

LIMIT_S = 15
MEMORY_BYTES = 2 << 30


class WatchedPool(WorkerPool[Any, Any]):
    """A pool whose refusals are in the record."""

    record: Record

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **{"observer": self._told, **named})

    def _told(self, event: Event) -> None:
        if event.kind == "refused":
            self.record.step(self.record.me(), "refused", item=label(event.job) if event.job else None)


class Prints(io.TextIOBase):
    """Standard output of the program: each line is a step of the thread that wrote it."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._begun: dict[str, str] = defaultdict(str)

    def write(self, text: str) -> int:
        """Keep what is no whole line yet."""
        who = self._record.me()
        *lines, self._begun[who] = (self._begun[who] + text).split("\n")
        for line in lines:
            self._record.step(who, "prints", text=line[:200])
        return len(text)


def run(experiment: Experiment) -> dict[str, Any]:
    """Run the program to its end, or until all its threads wait for each other; return the trace.

    To be called once in a process, by its main thread: it exchanges the pool's channels for watched ones, for good.
    """
    program = PROGRAM_FILES[experiment.program]
    record = Record(str(program))
    watch_channels(record)
    WatchedPool.record = work.record = record
    vars(imgpool.pool)["WorkerPool"] = WatchedPool
    threading.excepthook = lambda error: record.step(record.me(), "fails", text=f"{error.exc_value!r}"[:200])
    main = runpy.run_path(str(program))["main"]
    diagnosis = None
    with contextlib.redirect_stdout(Prints(record)):
        record.follow_lines()
        try:
            if experiment.program.startswith("lesson_"):
                takes = inspect.signature(main).parameters
                main(**{name: value for name, value in experiment.for_lesson().items() if name in takes})
            else:
                main(experiment)
        except DeadlockError as error:
            diagnosis = {"mistake": error.mistake, "text": str(error)}
        finally:
            ended_ms = record.end()
    return {
        "experiment": experiment.as_json(),
        "ended": "deadlock" if diagnosis is not None else "done",
        "diagnosis": diagnosis,
        "threads": record.names,
        "channels": record.channels,
        "steps": record.steps,
        "cut": record.cut,
        "figures": figures(record.steps, ended_ms) | {"memory_bytes": _peak_bytes()},
    }


def _peak_bytes() -> int:
    """The most memory this process ever had. On Linux `ru_maxrss` begins with what the *parent* had when it forked."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


def main() -> None:
    """The child's whole life."""
    live_within(LIMIT_S)
    give_way()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    request = json.loads(sys.stdin.readline())
    end_with_parent(lambda: os._exit(1))
    if request["photo"] is not None:
        work.photo = Path(request["photo"])
    answer = json.dumps(run(from_json(request["experiment"])))
    sys.stdout.write(answer)
    sys.stdout.flush()
    os._exit(0)  # the thread that reads standard input would be waited for


if __name__ == "__main__":
    main()

"""The judge: runs a solution in a child process, and says what is right and what is missing.

Owns the child: its time limit, and the end of whatever it has started. Never runs the learner's program in this
process.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from imgpool.learn.catalogue import Exercise
from imgpool.learn.exercises.finding import Finding, Verdict
from imgpool.lifeline import bound

LIMIT_S = 15.0
_GRACE_S = 5.0  # for the child to start, and to end itself at its limit


def judge(exercise: Exercise, file: Path, limit_s: float = LIMIT_S) -> Verdict:
    """Check a solution. Blocks, for `limit_s` and a little at most; afterwards nothing of it runs any more."""
    with tempfile.TemporaryDirectory(prefix="imgpool-exercise-") as folder:
        report, errors = Path(folder, "report"), Path(folder, "errors")
        # -P: a file of the learner's that is called random.py must not take the place of Python's.
        command = [sys.executable, "-P", "-m", "imgpool.learn.exercises.child"]
        with errors.open("wb") as stderr:
            child = subprocess.Popen(  # noqa: S603 - the learner's own program, on the learner's own machine
                bound([*command, str(exercise.number), str(file.absolute()), str(report), str(limit_s)]),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,
            )
            try:
                child.wait(limit_s + _GRACE_S)
            except subprocess.TimeoutExpired:
                pass
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)  # and whatever it has started
                status = child.wait()
        return _verdict(file, limit_s, status, report, errors.read_text(errors="replace"))


def _verdict(file: Path, limit_s: float, status: int, report: Path, errors: str) -> Verdict:
    lines = report.read_text(encoding="utf-8").splitlines() if report.exists() else []
    told = [json.loads(line) for line in lines]
    findings = [Finding(line["right"], line["text"]) for line in told if "text" in line]
    if not any("end" in line for line in told):
        findings.append(Finding(False, _why_it_ended(file, limit_s, status, errors)))
    return Verdict(tuple(findings))


def _why_it_ended(file: Path, limit_s: float, status: int, errors: str) -> str:
    if "Timeout (" in errors or status == -signal.SIGKILL:
        where = re.findall(rf'File "{re.escape(str(file.absolute()))}", line (\d+) in (\S+)', errors)
        places = ", ".join(dict.fromkeys(f"line {line} in {name}" for line, name in where))
        return f"the program still runs after {limit_s:g} s{': ' + places if places else ''}"
    if status < 0:
        return f"the program ended its process by {signal.Signals(-status).name}"
    last = errors.strip().splitlines()[-1:] or ["without a word"]
    return f"the program ended its process with status {status}: {last[0]}"

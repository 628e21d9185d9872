"""The child process of a check: `python -m imgpool.learn.exercises.child NUMBER FILE REPORT LIMIT_S`.

Runs the learner's program under limits of time, memory and file size, and writes what it finds to REPORT, a JSON object
a line, each as soon as it is known. The last line is `{"end": true}`; without it, the program has ended the process.
"""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

MEMORY_BYTES = 2 << 30
FILE_BYTES = 64 << 20


def main(number: int, file: Path, report: Path, limit_s: float) -> None:
    """Check, and leave the process at once: a program's threads must not keep it."""
    # A timer of the interpreter's own: it also ends a loop that never lets go, and says where each thread was.
    faulthandler.dump_traceback_later(limit_s, exit=True)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))

    from imgpool.learn.exercises import recorder

    recorder.install()

    from imgpool.learn.exercises.checks import CHECKS
    from imgpool.learn.exercises.program import Missing, Program

    with report.open("w", encoding="utf-8") as out:

        def write(line: dict[str, Any]) -> None:
            out.write(json.dumps(line) + "\n")
            out.flush()

        try:
            for finding in CHECKS[number](Program(file)):
                write({"right": finding.right, "text": finding.text})
        except Missing as missing:
            write({"right": False, "text": str(missing)})
        write({"end": True})
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4]))

"""The decoder child: `python -m imgpool.imaging.child`, started and fed by `imgpool.imaging.sandbox` only.

Reads one JSON line with its settings, then one for each image, from standard input; writes one JSON line each to what
was its standard output. Lives behind these limits, which it sets on itself before the first untrusted byte:

- memory: an address space of so many bytes above what it uses when it has loaded everything; no core dumps;
- time: a timer whose signal it does not handle ends it some seconds after the parent should have done so;
- life: it ends when standard input does, and on Linux with the thread that started it, however that ended.

It ignores SIGINT, SIGTERM and SIGHUP: Ctrl-C in a terminal and a service manager's stop reach the whole group, and the
server wants to finish what it accepted. Never writes outside the directory that a request names.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import IO, Any

from imgpool.lifeline import end_with_parent

#: The parent kills at the limit; this many seconds later the child ends by itself.
GRACE_S = 5.0
_KEPT_BYTES = 120 * 1024**2  # more than photos of ordinary size leave behind: for these, giving back costs time


def main() -> None:
    """Serve images until standard input ends. Called once, in a process of its own."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    requests, answers = _private_pipes()
    faulthandler.enable(sys.stderr)  # after a crash the parent's log shows where it was
    settings = json.loads(requests.readline())
    end_with_parent(settings["parent"])

    # Loads Pillow and every plugin it may use: nothing is imported once the memory is limited.
    from imgpool.errors import ImagingError
    from imgpool.imaging import pipeline
    from imgpool.imaging.decode import out_of_memory, register
    from imgpool.imaging.model import Limits
    from imgpool.imaging.recipe import Recipe, Variant

    register()
    recipe = Recipe(tuple(Variant(**fields) for fields in settings["recipe"]))
    limits = Limits(**settings["limits"])
    sync = bool(settings["sync"])
    _limit_memory(settings["memory_bytes"])
    _answer(answers, {"ready": True})

    while line := requests.readline():
        request = json.loads(line)
        timeout_s = request["timeout_s"]
        if timeout_s is not None:
            signal.setitimer(signal.ITIMER_REAL, timeout_s + GRACE_S)
        try:
            made = pipeline.make_variants(Path(request["original"]), Path(request["into"]), recipe, limits, sync=sync)
            answer: dict[str, Any] = {"made": made.to_json()}
        except ImagingError as error:
            answer = {"kind": error.kind, "message": str(error)}
        except MemoryError:
            answer = {"kind": "out_of_memory", "message": str(out_of_memory())}
        signal.setitimer(signal.ITIMER_REAL, 0)
        _answer(answers, answer)
        _give_back_memory()


def _give_back_memory() -> None:
    """After a picture that took much, return to the system what the allocator keeps for the next one.

    Kept are, by its own rule, at most 64 MiB at the end of the heap; but also all that lies below the last piece in
    use: half a gigabyte after an AVIF of 49 megapixels was written.
    """
    try:
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
        if resident > _KEPT_BYTES:
            ctypes.CDLL(None).malloc_trim(0)
    except (OSError, ValueError, AttributeError):
        pass  # not Linux, or not glibc


def _private_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Move both pipes to numbers that no C library knows; 0 then reads nothing and 1 writes to the log."""
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, answers


def _answer(answers: IO[bytes], answer: dict[str, Any]) -> None:
    try:
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()
    except BrokenPipeError:
        os._exit(0)  # the parent is gone


def _limit_memory(memory_bytes: int) -> None:
    """Limit the address space to what it is now and `memory_bytes` more."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (OSError, ValueError):
        return  # not Linux: no way to know the baseline, and macOS does not enforce the limit
    limit = pages * resource.getpagesize() + memory_bytes
    with contextlib.suppress(ValueError, OSError):  # a lower hard limit is already there
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    main()

"""One run of the lab: a child process, started, waited for, and killed when it must go.

Owns the child while it lives, and the directory of its temporary files: one that is killed cannot clear up. Never lets
it see secrets: what it gets is an experiment, and where the package is.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from typing import Any

from imgpool.imaging.child_process import bare_environment
from imgpool.learn.lab.limits import SCRATCH
from imgpool.pool import Context

MOST_BYTES = 2 * 1024 * 1024  # of an answer
LONGEST_S = 40.0  # each child ends by itself long before


class RunFailed(Exception):
    """The child did not answer: it was killed, ran into a limit, or broke. The sentence says which."""


def run_in_child(module: str, request: dict[str, Any], ctx: Context) -> dict[str, Any]:
    """Have `python -m module` answer a request (JSON in, JSON out); return the answer. Blocks until it has ended.

    The child gets the request as one line, and must end when its standard input does. Raises `RunFailed`; at once,
    with the child killed, when `ctx` ends.
    """
    with (
        tempfile.TemporaryFile() as errors,
        tempfile.TemporaryDirectory(prefix="imgpool-lab-", ignore_cleanup_errors=True) as scratch,
    ):
        child = subprocess.Popen(  # noqa: S603 - a module of imgpool, named by imgpool
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=bare_environment() | {"TMPDIR": scratch, SCRATCH: scratch},
            start_new_session=True,  # the terminal's Ctrl-C is for the server
        )
        forget = ctx.on_done(lambda: _kill(child))
        try:
            with suppress(BrokenPipeError):  # it has ended already; the answer says why
                child.stdin.write(json.dumps(request).encode() + b"\n")  # type: ignore[union-attr]
                child.stdin.flush()  # type: ignore[union-attr]
            answer = _read(child, time.monotonic() + LONGEST_S)
        finally:
            forget()
            _kill(child)
            with suppress(BrokenPipeError):
                child.stdin.close()  # type: ignore[union-attr]
            child.stdout.close()  # type: ignore[union-attr]
            status = child.wait()
        if ctx.done:
            raise RunFailed("The server stops: run it again later.")
        try:
            answered: dict[str, Any] = json.loads(answer)
        except ValueError:
            errors.seek(0)
            lines = errors.read(64 * 1024).decode(errors="replace").strip().splitlines()
            why = lines[-1][:200] if lines else f"it ended with status {status}"
            if status == -signal.SIGALRM:
                why = "it took longer than it may; the machine has much to do"
            raise RunFailed(f"The run broke off before its end: {why}.") from None
        return answered


def _read(child: subprocess.Popen[bytes], deadline: float) -> bytes:
    """What the child writes until it ends, or until it is too much or too late."""
    pipe = child.stdout
    assert pipe is not None  # noqa: S101 - asked for above
    answer = b""
    while len(answer) <= MOST_BYTES:
        ready, _, _ = select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return b""
        chunk = os.read(pipe.fileno(), 1 << 16)
        if not chunk:
            return answer
        answer += chunk
    return b""


def _kill(child: subprocess.Popen[bytes]) -> None:
    """End the child and whatever it has started: before it is waited for, or its number might be another's."""
    if child.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)

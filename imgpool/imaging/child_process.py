"""One decoder child as its parent sees it: started, asked, killed, reaped. Never imports PIL.

Owns the child's process, its pipes and its environment. Everything but `wake` is for the one thread that started it.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

from imgpool.errors import DecoderCrashed, DecoderKilled

_MAX_ANSWER_BYTES = 256 * 1024
_STDERR_TAIL_BYTES = 8 * 1024
# What a child may see of the environment. Secrets are not in it: a decoder reads untrusted bytes.
_ENVIRONMENT = (
    "PATH",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "PYTHONHOME",
    "PYTHONPATH",
    "VIRTUAL_ENV",
)
# glibc would give the image buffers (16 MiB blocks) back to the kernel after each image and fault them in again for the
# next: 7,200 page faults and a tenth of the CPU time of a 12 MP JPEG. With these, 0. Larger values save no more, and
# with these a child still gives back what a huge picture took: at most 64 MiB stay.
_MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(32 * 1024 * 1024), "MALLOC_TRIM_THRESHOLD_": str(64 * 1024 * 1024)}


class ChildProcess:
    """A running child. Killed and reaped by `kill`, which must be called; no other thread may own it.

    On Linux the child dies with the *thread* that made this object: make it in the thread that uses it.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "imgpool.imaging.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=child_environment(),
            start_new_session=True,  # the terminal's Ctrl-C is for the server
        )
        process = self._process
        # The casts are for the type checker: with PIPE, Popen has made all three.
        self._requests = cast(IO[bytes], process.stdin)
        self._answers = cast(IO[bytes], process.stdout)
        self._errors = cast(IO[bytes], process.stderr)
        self._received = b""
        self._stderr_tail = b""
        self._selector = selectors.DefaultSelector()
        for pipe in (self._answers, self._errors):
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, selectors.EVENT_READ)
        self.ready = False
        self.images = 0
        self.send({**settings, "parent": os.getpid()})

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """False once the child has ended."""
        return self._process.poll() is None

    @property
    def stderr_tail(self) -> str:
        """The last lines it wrote to standard error, for the log."""
        return self._stderr_tail.decode(errors="replace").strip()

    def send(self, message: dict[str, Any]) -> None:
        """Send one line. A child that is gone is not noticed here but by `receive`."""
        try:
            self._requests.write(json.dumps(message).encode() + b"\n")
            self._requests.flush()
        except OSError:
            pass

    def receive(self, deadline: float | None, wake_fd: int, stop: Callable[[], bool]) -> dict[str, Any] | None:
        """Block until the child has answered and return the answer.

        Returns None at `deadline` (monotonic), or when `wake_fd` has become readable and `stop()` is then true.
        Raises `DecoderCrashed` when the child ended or answered nonsense.
        """
        self._selector.register(wake_fd, selectors.EVENT_READ)
        try:
            while True:
                if stop():
                    return None
                wait_s = None if deadline is None else deadline - time.monotonic()
                if wait_s is not None and wait_s <= 0:
                    return None
                for key, _ in self._selector.select(wait_s):
                    if key.fd == wake_fd:
                        drain(wake_fd)
                    elif key.fileobj is self._errors:
                        self._read_stderr()
                    elif (answer := self._read_answer()) is not None:
                        return answer
        finally:
            self._selector.unregister(wake_fd)

    def _read_answer(self) -> dict[str, Any] | None:
        """Take what is there; return an answer once a whole line is."""
        chunk = self._answers.read(_MAX_ANSWER_BYTES)
        if chunk is None:
            return None
        self._received += chunk
        if not chunk:
            raise self._crashed()
        if not self._received.endswith(b"\n"):
            if len(self._received) > _MAX_ANSWER_BYTES:
                raise DecoderCrashed("The decoder answered nonsense while it read this image, and was ended.")
            return None
        line, self._received = self._received, b""
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise DecoderCrashed("The decoder answered nonsense while it read this image, and was ended.")
        return answer

    def _read_stderr(self) -> None:
        chunk = self._errors.read(64 * 1024)
        if chunk == b"":
            self._selector.unregister(self._errors)
        elif chunk:
            self._stderr_tail = (self._stderr_tail + chunk)[-_STDERR_TAIL_BYTES:]

    def _crashed(self) -> DecoderCrashed:
        """Name what ended the child. Its answers have ended, so that it has, or is about to."""
        try:
            status = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return DecoderCrashed("The decoder stopped answering while it read this image, and was ended.")
        if (rest := self._errors.read(64 * 1024)) is not None:
            self._stderr_tail = (self._stderr_tail + rest)[-_STDERR_TAIL_BYTES:]
        if status >= 0:
            return DecoderCrashed(f"The decoder ended with status {status} while it read this image.")
        try:
            name = signal.Signals(-status).name
        except ValueError:
            name = f"signal {-status}"
        if -status == signal.SIGKILL:  # which no decoder does to itself
            return DecoderKilled(
                "The decoder was ended by SIGKILL (perhaps for lack of memory) while it read this image."
            )
        return DecoderCrashed(f"The decoder was ended by {name} while it read this image.")

    def kill(self) -> None:
        """End the child at once, reap it and close its pipes. Idempotent."""
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            # SIGKILL reaches a stopped process too; only one stuck in a system call may linger, and it is left to it.
            self._process.wait(timeout=10)
        self._selector.close()
        for pipe in (self._requests, self._answers, self._errors):
            with contextlib.suppress(OSError):  # what could not be sent to it
                pipe.close()


def drain(wake_fd: int) -> None:
    """Empty a non-blocking pipe."""
    try:
        while os.read(wake_fd, 4096):
            pass
    except BlockingIOError:
        pass


def child_environment() -> dict[str, str]:
    """What a decoder child may see of the environment, with the allocator set up for images."""
    return bare_environment() | _MALLOC


def bare_environment() -> dict[str, str]:
    """What any child that is given other people's data may see of the environment: no secrets, and where imgpool is."""
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    package_parent = Path(__file__).resolve().parents[2]
    if package_parent.name not in ("site-packages", "dist-packages"):
        # Run from a checkout: the child has another working directory's view, so tell it where the package is.
        paths = [str(package_parent), *environment.get("PYTHONPATH", "").split(os.pathsep)]
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    return environment

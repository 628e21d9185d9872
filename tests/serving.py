"""A real `imgpool serve` for tests: its own process group, a free port, and an end that leaves nothing behind."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

# Limits of waiting, on a machine that has other things to do: no test waits this long unless it fails.
START_S = END_S = WAIT_S = 120
# For tests in which an upload stands still until something else has been seen, however long that takes.
PATIENT = ("--read-timeout-s", "600", "--min-upload-bytes-per-s", "0")
# What a client sees of a server that dies, which may be before its answer or in the middle of one.
BROKEN = (OSError, HTTPException)
SAMPLES = Path(__file__).parent.parent / "sample_images"


class Server:
    """`with Server(data_dir, "--workers", "1") as server:` serves at `server.url` until the block ends."""

    def __init__(
        self,
        data_dir: Path,
        *options: str,
        command: list[str] | None = None,
        serving: str = "serving on ",
        cwd: Path | None = None,
        **env: str,
    ) -> None:
        self.data_dir = data_dir
        self._serving = serving
        self._cwd = cwd
        self.command = command or [
            sys.executable, "-m", "imgpool", "serve", "--port", "0", "--data-dir", str(data_dir), *options,
        ]  # fmt: skip
        self.env = {**os.environ, "PYTHONUNBUFFERED": "1", **env}
        self.url = ""
        self.log: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.command,
            env=self.env,
            cwd=self._cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        limit = time.monotonic() + START_S
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, limit - time.monotonic()))
            except queue.Empty:
                self.kill()
                raise AssertionError("the server did not start in time:\n" + "\n".join(self.log)) from None
            if line is None:
                self.process.wait(END_S)
                raise AssertionError("the server ended at its start:\n" + "\n".join(self.log))
            if self._serving in line:
                self.url = line.rsplit(" ", 1)[1]
                return

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self.log.append(line.rstrip("\n"))
                self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    def family(self) -> list[psutil.Process]:
        """The living processes of this server: the master, the gunicorn process, the decoder children."""
        try:
            master = psutil.Process(self.process.pid)
            return [master, *master.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def gunicorn_process(self) -> psutil.Process:
        """The one process that has pool and pages; the decoder children are its children."""
        (only,) = psutil.Process(self.process.pid).children()
        return only

    def decoders(self, number: int) -> list[psutil.Process]:
        """The decoder children of so many workers: each begins by starting its own, beside the first requests."""
        found: list[psutil.Process] = []

        def all_there() -> bool:
            found[:] = self.gunicorn_process().children()
            return len(found) == number

        wait_for(all_there, f"{number} decoder children")
        return found

    def stopped_decoder(self) -> psutil.Process:
        """The decoder child of the one worker, which does nothing more from now on. It has been at work before: one
        that is stopped while it starts is not given an image.
        """
        self.upload((SAMPLES / "tiny-16x16.png").read_bytes(), "first.png")
        self.wait_until_settled()
        (decoder,) = self.gunicorn_process().children()
        decoder.suspend()
        return decoder

    def kill(self) -> None:
        """`kill -9` of the master and the gunicorn process; the decoder children have to end by themselves."""
        both = self.family()[:2]  # the master, and the first of its children in order of birth
        # Stopped first, the master before the other: neither is to see the other one end, and begin to do something.
        for process in both:
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        family = self.family()
        for process in both:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait(END_S)
        self.wait_until_gone(family)

    def stop(self) -> int:
        """SIGTERM, and wait: returns the exit status."""
        family = self.family()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(END_S)
        self.wait_until_gone(family)
        return status

    def wait_until_gone(self, family: list[psutil.Process]) -> None:
        """Until none of its `family` of before is left, which nobody knows any more when the master has ended."""
        wait_for(lambda: not any(lives(process) for process in family), f"the end of {family}", END_S)
        self._reader.join(END_S)

    # HTTP, as a program would ask

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=WAIT_S) as answer:
            return json.load(answer)

    def status_of(self, path: str) -> int:
        try:
            with urllib.request.urlopen(self.url + path, timeout=WAIT_S) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code

    def upload(self, body: bytes, name: str = "photo.jpg") -> tuple[int, Any, dict[str, str]]:
        """A raw upload: status, JSON, headers."""
        request = urllib.request.Request(f"{self.url}/api/images?name={name}", data=body, method="POST")
        request.add_header("Content-Type", "application/octet-stream")
        try:
            with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
                return answer.status, json.load(answer), dict(answer.headers)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error), dict(error.headers)

    def steer(self, **wish: object) -> None:
        """`PATCH /api/pool` with a wish."""
        request = urllib.request.Request(f"{self.url}/api/pool", json.dumps(wish).encode(), method="PATCH")
        request.add_header("Content-Type", "application/json")
        urllib.request.urlopen(request, timeout=WAIT_S).close()

    def wait_until_settled(self, timeout_s: float = WAIT_S) -> dict[str, int]:
        """Wait until nothing is queued or processing; returns the counts."""

        def settled() -> bool:
            counts = self.get("/api/status")["counts"]
            return bool(counts["queued"] + counts["processing"] == 0)

        wait_for(settled, "all images to end", timeout_s)
        counts: dict[str, int] = self.get("/api/status")["counts"]
        return counts


def lives(process: psutil.Process) -> bool:
    """Whether it can still do anything. One that has ended may lie there for a second until init takes note."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for(condition: Any, what: str, timeout_s: float = WAIT_S) -> None:
    """Poll another process until the condition holds; fails by name when it does not."""
    limit = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < limit, f"waited {timeout_s} s in vain for {what}"
        time.sleep(0.02)

"""A server of our own on this machine, for one measurement: watched from outside, held to a memory limit, ended.

The limit is that of a container: who goes beyond is killed without a word. Owns the child processes and the thread that
looks at them; leaves neither behind, even when it is killed itself (on Linux).
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from imgpool.lifeline import bound
from imgpool.load.target import LoadError

START_S = 30.0
END_S = 30.0
LOOK_EVERY_S = 0.05


@dataclass(frozen=True, slots=True)
class Seen:
    """One look from outside: all processes of the server together. A page that two of them share counts twice."""

    at: float  # time.monotonic()
    memory_bytes: int
    cpu_s: float


class ChildServer:
    """`with ChildServer(name, command, log) as server:` serves at `server.url` until the block ends.

    Raises `LoadError` when it does not begin to serve. For one thread.
    """

    def __init__(self, name: str, command: list[str], log: Path, memory_bytes: int | None = None) -> None:
        self.name = name
        self.url = ""
        self.seen: list[Seen] = []
        self.killed_at: float | None = None
        self._command, self._log, self._limit = command, log, memory_bytes
        self._ended = threading.Event()
        self._cpu_s: dict[int, float] = {}  # by process, in the order in which they were seen first

    def __enter__(self) -> Self:
        lines: queue.Queue[str] = queue.Queue()
        log = self._log.open("w")
        self._process = subprocess.Popen(  # noqa: S603  # our own servers
            bound(self._command),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,  # Ctrl-C is for us, who then end it in order
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        log.close()
        self._reader = threading.Thread(target=self._read, args=[lines], name="imgpool-load-reader", daemon=True)
        self._watcher = threading.Thread(target=self._watch, name="imgpool-load-watcher", daemon=True)
        self._reader.start()
        self._watcher.start()
        limit = time.monotonic() + START_S
        while not self.url:
            try:
                line = lines.get(timeout=max(0.0, limit - time.monotonic()))
            except queue.Empty:
                line = ""
            if not line:
                self.end()
                raise LoadError(f"{self.name} did not begin to serve: {self._log.read_text().strip()[-300:]}")
            if "serving on " in line:
                self.url = line.strip().rsplit(" ", 1)[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def look(self) -> Seen:
        """What it uses at this moment; the last that was seen when it has ended."""
        memory = 0
        for process in self._family():
            with suppress(psutil.Error):
                memory += process.memory_info().rss
                times = process.cpu_times()
                self._cpu_s[process.pid] = times.user + times.system
        return Seen(time.monotonic(), memory, sum(self._cpu_s.values()))

    def children_cpu_s(self) -> float:
        """The CPU seconds, as of the last look, of all but the two oldest processes: of imgpool's decoder children."""
        return sum(self._cpu_s.values()) - sum(self._cpu_s[pid] for pid in list(self._cpu_s)[:2])

    @property
    def pid(self) -> int:
        """The process that was started; the others are its children."""
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL to all of its processes; `end` is still to follow."""
        for process in self._family():
            with suppress(psutil.Error):
                process.kill()

    def end(self) -> None:
        """SIGTERM, and SIGKILL to what has not ended in half a minute. Idempotent."""
        family = self._family()
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(END_S)
        for process in psutil.wait_procs(family, timeout=1)[1]:
            with suppress(psutil.Error):
                process.kill()
        self._process.wait(END_S)
        self._ended.set()
        self._watcher.join()
        self._reader.join()

    def _family(self) -> list[psutil.Process]:
        try:
            first = psutil.Process(self._process.pid)
            return [first, *first.children(recursive=True)]
        except psutil.Error:
            return []

    def _read(self, lines: queue.Queue[str]) -> None:
        assert self._process.stdout is not None  # noqa: S101
        with self._process.stdout as out:
            for line in out:
                lines.put(line)
        lines.put("")

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_EVERY_S):
            seen = self.look()
            if not seen.memory_bytes:
                if self.killed_at is None and self._process.poll() == -signal.SIGKILL:
                    self.killed_at = seen.at  # by its own guard, which looks more often
                continue
            self.seen.append(seen)
            if self._limit is not None and seen.memory_bytes > self._limit:
                self.killed_at = seen.at
                self.kill()

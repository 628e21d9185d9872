"""A server under load, seen from outside: how fast its status is told, what it holds, whether its pool rests."""

from __future__ import annotations

import contextlib
import heapq
import http.client
import json
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import psutil

from serving import Server

PAUSE_S = 0.05
WEIGH_PAUSE_S = 0.2  # it stops the weighed process for a moment
CROWD = Path(__file__).with_name("crowd.py")
MIB = 1024**2


def crowd(server: Server, photo: Path, clients: int, kinds: str, *options: str) -> subprocess.Popen[str]:
    """Start a crowd in a process of its own; `outcome` waits for it."""
    command = [
        sys.executable,
        str(CROWD),
        server.url,
        str(photo),
        "--clients",
        str(clients),
        "--kinds",
        kinds,
        *options,
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def outcome(running: subprocess.Popen[str], timeout_s: float = 300) -> dict[str, Any]:
    """What became of a crowd."""
    told, _ = running.communicate(timeout=timeout_s)
    assert running.returncode == 0, told
    answer: dict[str, Any] = json.loads(told)
    return answer


class Watching:
    """`with Watching(server) as seen:` asks for /api/status twenty times a second, and adds up the memory used."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=each) for each in (self._ask, self._weigh)]
        self.status_s: list[float] = []
        self.peak_bytes = 0

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _ask(self) -> None:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=60)) as client:
            while not self._stop.wait(PAUSE_S):
                asked = time.monotonic()
                client.request("GET", "/api/status")
                json.load(client.getresponse())
                self.status_s.append(time.monotonic() - asked)

    def _weigh(self) -> None:
        while not self._stop.wait(WEIGH_PAUSE_S):
            self.peak_bytes = max(self.peak_bytes, tree_bytes(self._server))


def tree_bytes(server: Server) -> int:
    """Proportional set size of all the server's processes: pages that several share count once."""
    total = 0
    for process in server.family():
        with contextlib.suppress(OSError, psutil.NoSuchProcess):
            rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
            total += sum(int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:"))
    return total


def cpu_s(process: psutil.Process) -> float:
    """CPU time of a process so far, as the scheduler counts it: to the nanosecond, where clock ticks are 10 ms."""
    tasks = Path(f"/proc/{process.pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest rank."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def rest_while_queued(server: Server, workers: int) -> tuple[float, int]:
    """Share of the workers' time in which one of them rested although an image waited; and of how many images this
    was seen. From the records: when each was received, started and finished.
    """
    images: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = server.get(f"/api/images?state=done&limit=200{cursor}")
        images += page["images"]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    spans = sorted(
        tuple(datetime.fromisoformat(image[key]).timestamp() for key in ("started_at", "finished_at", "received_at"))
        for image in images
    )
    free = [spans[0][0]] * workers
    rested = 0.0
    for started, finished, received in spans:
        rested += max(0.0, started - max(heapq.heappop(free), received))
        heapq.heappush(free, finished)
    return rested / (workers * (max(free) - spans[0][0])), len(spans)


@contextlib.contextmanager
def alone(server: Server) -> Iterator[None]:
    """Let server and clients be scheduled before what else runs on this machine, as on an idle one. Linux, as root;
    elsewhere the figures are what they are.
    """
    groups = [Path(f"/proc/{pid}/autogroup") for pid in (server.process.pid, os.getpid())]
    with contextlib.suppress(OSError):
        for group in groups:
            group.write_text("-15")
    yield
    with contextlib.suppress(OSError):
        for group in groups:
            group.write_text("0")

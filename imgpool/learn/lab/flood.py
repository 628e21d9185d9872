"""A flood of a server without protection: `python -m imgpool.learn.lab.flood`, started by the lab only.

Starts one of the doubles in a process of its own, with a memory limit, sends it a photo at each of the given moments
(an open loop: a slow server is not spared), and writes down what became of each. Ends the double, and with it all.
Answers in JSON; see `Flood`.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imgpool.learn.doubles.memory import memory_bytes
from imgpool.learn.lab.limits import end_with_parent, live_within
from imgpool.lifeline import bound
from imgpool.pool import Context, WorkerPool

DOUBLES = ("thread_per_upload", "unbounded_executor")
MOST_ARRIVALS = 300
LAST_ARRIVAL_MS = 20_000
MEMORY_BYTES = 384 << 20  # more than imgpool itself takes with two workers
SENDERS = 32  # at a time; a photo of 64 kB on loopback takes a few milliseconds
SETTLE_S = 12.0  # after the last arrival
LIMIT_S = 39
SAMPLE_EVERY_S = 0.1
VARIANTS = 2  # of the default recipe


@dataclass(frozen=True, slots=True)
class Flood:
    """What to send to which double. The answer: for each arrival when it was due, sent, answered and done, in
    milliseconds from the first; samples of memory; when the double died, or None; its memory limit.
    """

    double: str
    arrivals_ms: tuple[int, ...]


def from_json(given: Mapping[str, Any]) -> Flood:
    """The flood that a request asks for. Raises ValueError with a sentence."""
    if unknown := set(given) - {"double", "arrivals_ms"}:
        raise ValueError(f"{min(unknown)[:40]!r} is no setting of a flood; allowed are double and arrivals_ms.")
    double, arrivals = given.get("double", DOUBLES[0]), given.get("arrivals_ms")
    if double not in DOUBLES:
        raise ValueError(f"double is {double!r:.40}; allowed is one of {', '.join(DOUBLES)}.")
    if not isinstance(arrivals, list) or not 1 <= len(arrivals) <= MOST_ARRIVALS:
        raise ValueError(f"arrivals_ms is a list of 1 to {MOST_ARRIVALS} moments.")
    if not all(type(each) is int and 0 <= each <= LAST_ARRIVAL_MS for each in arrivals):
        raise ValueError(f"Each of arrivals_ms is a whole number 0 to {LAST_ARRIVAL_MS}.")
    return Flood(double, tuple(sorted(arrivals)))


class Arrival:
    """One upload: what is known of it so far. Written by the thread that sends it."""

    def __init__(self, at_ms: int) -> None:
        self.at_ms = at_ms
        self.answered_ms: int | None = None
        self.status: int | None = None  # None: no answer at all
        self.image: str | None = None


def run(flood: Flood, photo: bytes) -> dict[str, Any]:
    """Flood the double; blocks until all is done, it died, or the time is over."""
    arrivals = [Arrival(at_ms) for at_ms in flood.arrivals_ms]
    limit = ("--memory-bytes", str(MEMORY_BYTES))
    with tempfile.TemporaryDirectory(prefix="imgpool-flood-") as data:
        double = subprocess.Popen(  # noqa: S603 - its name was checked
            bound([sys.executable, "-P", "-m", f"imgpool.learn.doubles.{flood.double}", "--data-dir", data, *limit]),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            assert double.stdout is not None  # noqa: S101 - asked for above
            address = double.stdout.readline().rpartition("http://")[2].strip()
            if not address:
                raise RuntimeError("the server without protection did not start")
            began, wall = time.monotonic(), time.time()
            over = Context(timeout_s=flood.arrivals_ms[-1] / 1000 + SETTLE_S)
            samples: list[dict[str, int]] = []
            died: list[int] = []
            sampler = threading.Thread(target=_sample, args=(double, samples, died, began, over), name="sampler")
            sampler.start()
            _send(arrivals, photo, address, began, double)
            _settle(address, double, over)
            over.cancel("flooded")
            sampler.join()
        finally:
            double.kill()
            double.wait()
        done = _done(Path(data), wall)
    return {
        "double": flood.double,
        "memory_limit_bytes": MEMORY_BYTES,
        "died_ms": died[0] if died else None,
        "arrivals": [
            {
                "at_ms": each.at_ms,
                "answered_ms": each.answered_ms,
                "status": each.status,
                "done_ms": done.get(each.image) if each.image else None,
            }
            for each in arrivals
        ],
        "samples": samples,
    }


def _send(arrivals: list[Arrival], photo: bytes, address: str, began: float, double: subprocess.Popen[str]) -> None:
    """Send each at its moment, whatever became of those before it."""

    def upload(context: Context, arrival: Arrival) -> None:
        connection = http.client.HTTPConnection(address, timeout=10)
        try:
            connection.request("POST", "/api/images", photo, {"Content-Type": "application/octet-stream"})
            answer = connection.getresponse()
            arrival.status = answer.status
            arrival.image = json.load(answer)["images"][0]["id"] if answer.status == 202 else None
        except (OSError, http.client.HTTPException, ValueError):
            pass  # no answer: that is what is to be found out
        finally:
            arrival.answered_ms = round((time.monotonic() - began) * 1000)
            connection.close()

    with WorkerPool(
        upload, SENDERS, jobs_capacity=len(arrivals), results_capacity=len(arrivals), name="flood"
    ) as senders:
        for arrival in arrivals:
            time.sleep(max(0.0, began + arrival.at_ms / 1000 - time.monotonic()))
            senders.submit(arrival)


def _settle(address: str, double: subprocess.Popen[str], over: Context) -> None:
    """Wait until the double has nothing in hand, is dead, or has had its time."""
    while double.poll() is None and not over.done:
        connection = http.client.HTTPConnection(address, timeout=5)
        try:
            connection.request("GET", "/api/status")
            if json.load(connection.getresponse())["in_flight"] == 0:
                return
        except (OSError, http.client.HTTPException, ValueError):
            pass  # too busy to say, or dead: the next look tells
        finally:
            connection.close()
        over.wait(SAMPLE_EVERY_S)


def _sample(
    double: subprocess.Popen[str], samples: list[dict[str, int]], died: list[int], began: float, over: Context
) -> None:
    """Look at its memory until the flood is over, or it died: then write down when."""
    while True:
        at_ms = round((time.monotonic() - began) * 1000)
        if double.poll() is not None:
            died.append(at_ms)
            return
        with suppress(OSError):  # it ended in this moment
            samples.append({"at_ms": at_ms, "memory_bytes": memory_bytes(double.pid)})
        if over.wait(SAMPLE_EVERY_S) and double.poll() is None:
            return


def _done(data: Path, wall: float) -> dict[str, int]:
    """When the last variant of each image was written, by the files' own times: asking the server would load it."""
    done = {}
    for folder in data.glob("*-variants"):
        files = [entry.stat() for entry in os.scandir(folder)]
        if len(files) == VARIANTS and all(file.st_size for file in files):
            done[folder.name.removesuffix("-variants")] = round((max(file.st_mtime for file in files) - wall) * 1000)
    return done


def main() -> None:
    """The child's whole life; it ends, and ends the double, when its standard input does."""
    # At the server's own priority: behind everything else it would fail for lack of time and not of protection.
    live_within(LIMIT_S)
    request = json.loads(sys.stdin.readline())
    # The lab has made this process the leader of a group of its own, and the double is in it.
    end_with_parent(lambda: os.killpg(0, signal.SIGKILL))
    answer = json.dumps(run(from_json(request["flood"]), Path(request["photo"]).read_bytes()))
    sys.stdout.write(answer)
    sys.stdout.flush()
    os._exit(0)  # the thread that reads standard input would be waited for


if __name__ == "__main__":
    main()

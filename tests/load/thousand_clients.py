"""What overload costs, in figures: `python tests/load/thousand_clients.py` (about two minutes; an idle machine, Linux).

A thousand clients at once of each kind, the price of a refusal, and the goodput when ten and fifty times as much comes
as the pool can serve. Prints each figure with the limit it is held to; exit status 1 when one is missed.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from load.watching import Watching, alone, cpu_s, crowd, outcome, percentile, rest_while_queued
from pictures import photo
from rawhttp import connect, head
from serving import Server, wait_for

FLOOD_PER_S = 100.0

missed: list[str] = []


def told(what: str, value: float, unit: str, limit: float | None = None, *, at_least: bool = False) -> None:
    """Print a figure beside its limit."""
    held = limit is None or (value >= limit if at_least else value <= limit)
    wanted = "" if limit is None else f"  ({'at least' if at_least else 'at most'} {limit:g})"
    print(f"  {what:<58} {value:8.2f} {unit}{wanted}{'' if held else '  MISSED'}", flush=True)
    if not held:
        missed.append(what)


def at_once(picture: Path, kinds: str, clients: int) -> None:
    print(f"{clients} clients at once, {kinds}; 2 workers, capacity 32, 12 MP photos of 2.7 MB")
    with (
        tempfile.TemporaryDirectory() as folder,
        Server(Path(folder) / "data", "--workers", "2", "--queue-capacity", "32") as server,
        alone(server),
    ):
        server.upload(picture.read_bytes())
        server.wait_until_settled()
        with Watching(server) as seen:
            became = outcome(crowd(server, picture, clients, kinds))
            counts = server.wait_until_settled()
        answered = sum(n for kind, n in became["by"].items() if kind.endswith((" 202", " 503")))
        share, _ = rest_while_queued(server, 2)
        told("read an answer", answered, "clients", clients, at_least=True)
        told("accepted and not done", counts["accepted"] - counts["done"], "images", 0)
        told("refusals read after the headers lay in the socket, p50", 1000 * became["refusal_s"]["p50"], "ms")
        told("refusals read after the headers lay in the socket, p99", 1000 * became["refusal_s"]["p99"], "ms", 250)
        told("/api/status, p99", 1000 * percentile(seen.status_s, 0.99), "ms", 250)
        told("workers at rest while an image waited", 100 * share, "%", 5)
        told("peak memory of all processes (PSS)", seen.peak_bytes / 1024**2, "MiB", 400)


def price_of_a_refusal(picture: Path) -> None:
    print("The price of a refusal: CPU time of the server's process, 1000 refusals")
    options = ("--workers", "1", "--queue-capacity", "1", "--read-timeout-s", "600", "--min-upload-bytes-per-s", "0")
    with (
        tempfile.TemporaryDirectory() as folder,
        Server(Path(folder) / "data", *options) as server,
        contextlib.closing(connect(server)) as holder,
        alone(server),
    ):
        holder.sendall(head(10_000_000) + picture.read_bytes()[:100_000])
        wait_for(lambda: server.get("/api/status")["pool"]["queue"]["reserved"] == 1, "the slot to be held")
        process = server.gunicorn_process()
        for kind, what, limit in (
            ("waits", "refused at its headers", 1.5),
            ("regardless", "the body of 2.7 MB comes anyway", 3.0),
            ("begins", "a resumable upload, through Flask", 1.5),
        ):
            before = cpu_s(process)
            outcome(crowd(server, picture, 1000, kind))
            time.sleep(1)  # what lingers is part of the price
            told(what, 1000 * (cpu_s(process) - before) / 1000, "ms", limit)


def goodput(picture: Path, workers: int, seconds: float) -> None:
    print(f"Goodput in images/s, {workers} worker(s), clients that wait for the answer before the body")
    options = ("--workers", str(workers), "--queue-capacity", "32")

    def run(rate: float) -> float:
        with (
            tempfile.TemporaryDirectory() as folder,
            Server(Path(folder) / "data", *options) as server,
            alone(server),
        ):
            server.upload(picture.read_bytes())
            server.wait_until_settled()
            began = time.time()
            outcome(crowd(server, picture, int(rate * seconds), "waits", "--rate", str(rate)), 300)
            ended = time.time()
            server.wait_until_settled()
            done, cursor = [], ""
            while True:
                page = server.get(f"/api/images?state=done&limit=200{cursor}")
                done += [datetime.fromisoformat(image["finished_at"]).timestamp() for image in page["images"]]
                if page["next"] is None:
                    break
                cursor = f"&cursor={page['next']}"
            return sum(began + 1 < moment < ended for moment in done) / (ended - began - 1)

    can = run(FLOOD_PER_S)
    told("what the pool can serve (the queue always full)", can, "/s")
    once = run(can)
    told("arrivals at 1x", once, "/s")
    for times in (10, 50):
        much = run(times * can)
        told(f"arrivals at {times}x", much, "/s")
        told(f"goodput at {times}x against 1x", 100 * much / once, "%", 95, at_least=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=8, help="of each goodput run")
    parser.add_argument("--only", choices=["crowd", "price", "goodput"])
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2], help="of the goodput runs")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "photo.jpg"
        picture.write_bytes(photo(4000, 3000, grain=20))
        if given.only in (None, "crowd"):
            for kinds in ("waits", "regardless", "waits,regardless"):
                at_once(picture, kinds, given.clients)
        if given.only in (None, "price"):
            price_of_a_refusal(picture)
        if given.only in (None, "goodput"):
            for workers in given.workers:
                goodput(picture, workers, given.seconds)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

"""What it costs that many watch the status page: `python tests/load/watchers.py [--watchers 100] [--seconds 20]`.

Two rounds on one server with two workers: the same few clients upload without a pause, first unwatched, then with
watchers who ask as static/status.js does. Prints images per second and the CPU time of the gunicorn process, which both
share. The machine's processors are shared by clients, watchers and server, so only the ratios say something.
"""

from __future__ import annotations

import argparse
import http.client
import multiprocessing
import random
import sys
import tempfile
import threading
import time
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from serving import SAMPLES, Server

CLIENTS = 4
PAUSE_S, HISTORY_PAUSE_S = 0.75, 4.0  # as in static/status.js
PHOTO = SAMPLES / "aurora.avif"


def watch(port: int, until: float, answers: Synchronized[int], unchanged: Synchronized[int]) -> None:
    """One page."""
    time.sleep(random.uniform(0, PAUSE_S))  # people do not open pages together
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    tags: dict[str, str] = {}
    latest, history_at = 0.0, 0.0
    while time.monotonic() < until:
        began = time.monotonic()
        paths = ["/api/status?watch=&images=&limit=60"]
        if began >= history_at:
            paths.append(f"/api/history?watch&since={latest}")
            history_at, latest = began + HISTORY_PAUSE_S, int(time.time()) - 1
        for path in paths:
            connection.request("GET", path, headers={"If-None-Match": tags[path]} if path in tags else {})
            answer = connection.getresponse()
            answer.read()
            tags[path] = answer.headers["ETag"]
            with answers.get_lock():
                answers.value += 1
                unchanged.value += answer.status == 304
        time.sleep(max(0.0, began + PAUSE_S - time.monotonic()))


def audience(port: int, watchers: int, until: float, answers: Synchronized[int], unchanged: Synchronized[int]) -> None:
    """All of them, in a process of their own."""
    threads = [threading.Thread(target=watch, args=(port, until, answers, unchanged)) for _ in range(watchers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def round_of(server: Server, watchers: int, seconds: float) -> tuple[float, float]:
    """Images done per second, and processors that the gunicorn process used, while so many watch."""
    until = time.monotonic() + seconds
    answers, unchanged = multiprocessing.Value("i", 0), multiprocessing.Value("i", 0)
    crowd = multiprocessing.Process(target=audience, args=(server.port, watchers, until, answers, unchanged))
    photo = PHOTO.read_bytes()

    def upload() -> None:
        while time.monotonic() < until:
            if server.upload(photo, "photo.avif")[0] != 202:
                time.sleep(0.1)

    def cpu_s() -> float:
        times = server.gunicorn_process().cpu_times()
        return float(times.user + times.system)

    crowd.start()
    clients = [threading.Thread(target=upload) for _ in range(CLIENTS)]
    cpu, done = cpu_s(), server.get("/api/status")["counts"]["done"]
    began = time.monotonic()
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    elapsed = time.monotonic() - began
    per_s = (server.get("/api/status")["counts"]["done"] - done) / elapsed
    cpu = (cpu_s() - cpu) / elapsed
    crowd.join()
    server.wait_until_settled()
    share = unchanged.value / answers.value if answers.value else 0
    print(
        f"{watchers:4d} watchers: {per_s:6.1f} images/s, gunicorn process {100 * cpu:5.1f} % of a processor, "
        f"{answers.value / elapsed:6.1f} answers/s to watchers, {100 * share:.0f} % of them 304"
    )
    return per_s, cpu


def main() -> None:
    parser = argparse.ArgumentParser(description="What watchers of the status page cost.")
    parser.add_argument("--watchers", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=20)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, Server(Path(directory) / "data", "--workers", "2") as server:
        round_of(server, 0, 3)  # warm
        alone, alone_cpu = round_of(server, 0, given.seconds)
        watched, watched_cpu = round_of(server, given.watchers, given.seconds)
    print(
        f"with {given.watchers} watchers: {100 * watched / alone:.0f} % of the images per second, "
        f"{100 * (watched_cpu - alone_cpu) / max(1, given.watchers):.2f} % of a processor for each watcher"
    )


if __name__ == "__main__":
    main()

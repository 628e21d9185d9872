"""Does anything that a client meets slow down with the records or with the queue? Real servers, over HTTP, in one run.

`python tests/benchmarks/flat_cost.py [MOST]`: median milliseconds of a request at 10 to MOST (1,000,000) records, then
with 10,000 images queued.
"""

from __future__ import annotations

import http.client
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from records_scale import fill

from imgpool.load.behaviour import ONCE
from imgpool.load.child_server import ChildServer
from imgpool.load.pictures import SAMPLES, Picture
from imgpool.load.target import Target, find_target
from imgpool.load.upload import upload
from imgpool.service.sqlite import SQLiteRecords

CALLS = 60
QUEUED = 10_000
TINY = Picture("tiny.png", (SAMPLES / "tiny-16x16.png").read_bytes())
COLUMNS = ("start s", "/status", "/", "/api/status", "/api/images", "one image", "/metrics", "upload 202", "refusal")


def median_ms(call: Callable[[], object]) -> float:
    times = []
    for _ in range(CALLS):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times)


def serving(data: Path, *options: str) -> ChildServer:
    command = [sys.executable, "-m", "imgpool", "serve", "--port", "0", "--data-dir", str(data), "--workers", "1"]
    return ChildServer("imgpool", [*command, *options], data.parent / "log")


def stop_decoders(server: ChildServer) -> None:
    """From here on nothing is finished: what is uploaded stays queued."""
    master = psutil.Process(server.pid)
    for decoder in master.children()[0].children():
        os.kill(decoder.pid, signal.SIGSTOP)


def measure(target: Target, known: str, may_upload: bool) -> list[float]:
    connection = target.connect()

    def get(path: str) -> float:
        def call() -> None:
            status, _ = target.get(connection, path)
            assert status == 200, (path, status)

        return median_ms(call)

    def accepted() -> None:
        answer = upload(target, TINY, ONCE)
        assert answer.kind == "accepted", answer

    def refused() -> None:
        answer = upload(target, Picture("no", b"no picture" * 100), ONCE)
        assert answer.kind == "refused", answer

    times = [get("/status"), get("/"), get("/api/status"), get("/api/images"), get(f"/api/images/{known}")]
    times += [get("/metrics"), median_ms(accepted) if may_upload else float("nan"), median_ms(refused)]
    connection.close()
    return times


def row(name: str, start_s: float, times: list[float]) -> str:
    return f"{name:>16}{start_s:>12.2f}" + "".join(f"{each:>12.2f}" for each in times)


def queue(target: Target, images: int) -> None:
    """In forms of 500 files each."""
    boundary = "between-files"
    part = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="tiny.png"\r\n'
        "Content-Type: image/png\r\n\r\n"
    ).encode() + TINY.body + b"\r\n"  # fmt: skip
    body = part * 500 + f"--{boundary}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    for _ in range(images // 500):
        connection = http.client.HTTPConnection(target.host, target.port, timeout=120)
        connection.request("POST", "/api/images", body=body, headers=headers)
        answer = connection.getresponse()
        assert answer.status == 202, answer.read()
        answer.read()
        connection.close()


def main() -> None:
    most = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    print(f"{'':>16}" + "".join(f"{column:>12}" for column in COLUMNS) + "   median ms", flush=True)
    with tempfile.TemporaryDirectory(prefix="imgpool-flat-") as directory:
        data = Path(directory) / "data"
        filled = 0
        for size in (10, 1000, 100_000, 1_000_000):
            if size > most:
                break
            data.mkdir(exist_ok=True)
            records = SQLiteRecords(data / "imgpool.db")
            fill(records, filled, size)
            records.close()
            filled = size
            began = time.monotonic()
            with serving(data) as server:
                start_s = time.monotonic() - began
                target = find_target(server.url, None, consent=False)
                print(row(f"{size} records", start_s, measure(target, f"{size // 2:032x}", True)), flush=True)
        options = ["--queue-capacity", str(QUEUED + 1000), "--job-timeout-s", "3000", "--http-threads", "16"]
        began = time.monotonic()
        with serving(data, *options) as server:
            start_s = time.monotonic() - began
            target = find_target(server.url, None, consent=False)
            stop_decoders(server)
            queue(target, QUEUED)
            times = measure(target, f"{filled // 2:032x}", True)
            print(row(f"+ {QUEUED} queued", start_s, times), flush=True)
            server.kill()
        began = time.monotonic()
        with serving(data, *options) as server:
            print(f"a start with these in the queue: {time.monotonic() - began:.2f} s")
            server.kill()


if __name__ == "__main__":
    main()

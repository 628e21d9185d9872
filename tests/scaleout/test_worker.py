"""What images and brokers can do to `imgpool worker`, and what Celery's own tools see of it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from hosts import Site, Witness, pool_processes, wait_until_settled
from pictures import photo
from servers.ports import free_port
from servers.postgresql import PostgreSQL
from servers.rabbitmq import RabbitMQ
from servers.redis import Redis
from serving import BROKEN, WAIT_S, Server, wait_for

# A Celery whose warm shutdown does not end.
HANGS = """
import time
from celery.concurrency.prefork import TaskPool
from imgpool.cli import main
TaskPool.on_stop = lambda pool: time.sleep(600)
main()
"""


def decoders(worker: Server) -> list[psutil.Process]:
    """Those of the pool processes that live."""
    found: list[psutil.Process] = []
    for process in pool_processes(worker):
        with suppress(psutil.NoSuchProcess):
            found += process.children()
    return found


def stop_decoder(worker: Server) -> psutil.Process:
    """Its next image hangs."""
    (decoder,) = decoders(worker)
    decoder.suspend()
    return decoder


def ready(web: Server, worker: Server, killed: psutil.Process) -> bool:
    """Whether the process in place of the killed one has told that it is there, which it does when its decoder is."""
    told = {peer["pid"] for peer in web.get("/api/status")["peers"]} - {killed.pid}
    return any(process.pid in told for process in pool_processes(worker))


def state(web: Server, image_id: str) -> str:
    return tried(web, image_id)[0]


def tried(web: Server, image_id: str) -> tuple[str, int]:
    """State and attempts."""
    image = web.get(f"/api/images/{image_id}")
    return image["state"], image["attempts"]


def test_an_image_that_takes_its_workers_with_it_fails_and_a_stuck_decoder_is_killed(
    tmp_path: Path, redis: Redis, database_url: str, shared: str, witness: Witness
) -> None:
    settings = {"broker": redis.url, "database": database_url, "files": shared, "job_timeout_s": 8, "lease_s": 5}
    with Site(tmp_path, webs=1, workers=1, max_attempts=2, **settings) as site:
        witness.watch()
        (web,), (worker,) = site.webs, site.workers
        stop_decoder(worker)
        image_id = web.upload(photo(640, 480))[1]["images"][0]["id"]
        for attempt in (1, 2):
            wait_for(
                lambda: tried(web, image_id) == ("processing", attempt),  # noqa: B023 - called at once
                f"attempt {attempt}",
            )
            web.steer(paused=True)  # until the new process' decoder can be stopped, too
            (process,) = pool_processes(worker)
            process.kill()  # as the system does when memory runs out
            process.wait(WAIT_S)
            witness.end_leases()
            wait_for(lambda: ready(web, worker, process), "a new pool process")  # noqa: B023 - called at once
            if attempt == 1:
                stop_decoder(worker)
            web.steer(paused=False)
        wait_for(lambda: state(web, image_id) == "failed", "the last attempt's lease to run out")
        assert "was lost, 2 times" in web.get(f"/api/images/{image_id}")["error"]

        decoder = stop_decoder(worker)
        stuck = web.upload(photo(640, 480))[1]["images"][0]["id"]
        wait_for(lambda: state(web, stuck) == "failed", "the time limit")
        assert "longer than the limit of 8 s" in web.get(f"/api/images/{stuck}")["error"]
        assert not decoder.is_running()
        assert web.get(f"/api/images/{stuck}")["attempts"] == 1
        fine = web.upload(photo(640, 480))[1]["images"][0]["id"]
        wait_for(lambda: state(web, fine) == "done", "the next image")
        assert sorted(ended for _, ended in witness.ends()) == ["done", "failed", "failed"]


@contextmanager
def flower(site: Site) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "celery", "-A", "imgpool.scaleout.app", "flower", "--address=127.0.0.1"]
    process = subprocess.Popen(
        [*command, f"--port={port}"],
        env={**os.environ, **site.env, "FLOWER_UNAUTHENTICATED_API": "true"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(WAIT_S)


def answer(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=5) as got:
            return str(got.read().decode())
    except BROKEN:
        return ""


def test_rabbitmq_carries_the_images_and_celerys_tools_see_the_worker(
    tmp_path: Path, database_url: str, shared: str
) -> None:
    with (
        RabbitMQ(tmp_path) as rabbitmq,
        Site(tmp_path, webs=1, workers=1, broker=rabbitmq.url, database=database_url, files=shared) as site,
        flower(site) as tool,
    ):
        (web,), (worker,) = site.webs, site.workers
        assert worker.url == rabbitmq.url.replace("guest:guest", "guest:***")
        for _ in range(5):
            assert web.upload(photo(640, 480))[0] == 202
        assert wait_until_settled(web)["done"] == 5
        environment = {**os.environ, **site.env}
        celery = [sys.executable, "-m", "celery", "-A", "imgpool.scaleout.app", "inspect", "registered"]
        celery.append(f"--timeout={WAIT_S}")  # of which it takes what it needs, as one worker is asked
        celery.append(f"--destination=imgpool-{worker.process.pid}@{socket.gethostname()}")
        told = subprocess.run(
            celery, env=environment, capture_output=True, text=True, timeout=WAIT_S, check=True
        ).stdout
        assert "imgpool.process" in told
        node = f"imgpool-{worker.process.pid}@"
        wait_for(lambda: node in answer(f"{tool}/api/workers?refresh=1"), "Flower to see the worker")
        rabbitmq.kill()
        assert web.upload(photo(640, 480))[0] == 202, "a broker that is away costs an upload nothing"
        rabbitmq.start()
        assert wait_until_settled(web)["done"] == 6
        began = time.monotonic()
        assert worker.stop() == 0
        print(f"SIGTERM to its end: {time.monotonic() - began:.1f} s")


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        ((), 2, "--broker: not given"),
        (("--broker", "redis://127.0.0.1:1"), 2, "--broker: not allowed without --database and --files"),
        (("--database", "postgresql://imgpool:s3cret@127.0.0.1:1/d"), 1, "the database cannot be used"),
        (("--database", "postgresql://imgpool:s3cret%zz@127.0.0.1:1/d"), 2, "written as %25"),
        (("--database", "postgresql://imgpool:s3cret@[::1]x/d"), 2, "--database: (not shown) is not allowed"),
        (("--files", "file:///nowhere/at/all"), 2, "there is no such directory"),
        (("--files", "file://nowhere/at/all"), 2, "with three slashes"),
    ],
)
def test_what_a_worker_cannot_use_is_refused_in_one_line(
    tmp_path: Path, options: tuple[str, ...], status: int, said: str
) -> None:
    whole = {"--broker": "redis://127.0.0.1:1", "--database": "postgresql://u:s3cret@127.0.0.1:1/d"}
    whole["--files"] = f"file://{tmp_path}"
    if options and options[0] != "--broker":
        whole |= {options[0]: options[1]}
        options = tuple(part for pair in whole.items() for part in pair)
    command = [sys.executable, "-m", "imgpool", "worker", "--data-dir", str(tmp_path / "worker"), *options]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert ended.returncode == status, ended.stderr
    assert ended.stderr.startswith("imgpool: ")
    assert ended.stderr.count("\n") == 1
    assert said in ended.stderr
    assert "s3cret" not in ended.stderr


def test_a_pool_process_that_begins_while_the_database_is_away_waits_for_it(
    tmp_path: Path, redis: Redis, postgresql: PostgreSQL, database_url: str, shared: str
) -> None:
    with Site(tmp_path, webs=1, workers=1, broker=redis.url, database=database_url, files=shared) as site:
        (web,), (worker,) = site.webs, site.workers
        postgresql.kill()
        (process,) = pool_processes(worker)
        process.kill()
        wait_for(lambda: any("cannot begin, and tries again" in line for line in worker.log), "its successor to try")
        postgresql.start()
        wait_for(lambda: web.upload(photo(640, 480))[0] == 202, "the database to be of use again")
        counts = wait_until_settled(web)
        assert counts["accepted"] == counts["done"] >= 1
        assert not any("raised unexpected" in line for line in worker.log)


def test_a_cold_shutdown_leaves_what_is_under_way_to_others(
    tmp_path: Path, redis: Redis, database_url: str, shared: str, witness: Witness
) -> None:
    """SIGQUIT, as Celery knows it."""
    settings = {"broker": redis.url, "database": database_url, "files": shared, "lease_s": 5}
    with Site(tmp_path, webs=1, workers=2, **settings) as site:
        (web,), (worker, other) = site.webs, site.workers
        stop_decoder(worker)
        stop_decoder(other)
        image_id = web.upload(photo(640, 480))[1]["images"][0]["id"]

        def at_work() -> list[int]:
            peers = web.get("/api/status")["peers"]
            return [peer["pid"] for peer in peers if peer["image"] == image_id]

        wait_for(at_work, "a worker to take it")
        busy, idle = (worker, other) if at_work() == [pool_processes(worker)[0].pid] else (other, worker)
        decoders(idle)[0].resume()
        busy.process.send_signal(signal.SIGQUIT)
        busy.process.wait(WAIT_S)
        witness.end_leases()
        wait_for(lambda: state(web, image_id) == "done", "the other worker")
        assert web.get(f"/api/images/{image_id}")["attempts"] == 2


def test_a_worker_ends_in_time_also_when_celery_does_not(
    tmp_path: Path, redis: Redis, database_url: str, shared: str
) -> None:
    env = {"IMGPOOL_BROKER": redis.url, "IMGPOOL_DATABASE": database_url, "IMGPOOL_FILES": shared}
    options = ("--workers", "1", "--job-timeout-s", "1")
    command = [sys.executable, "-c", HANGS, "worker", "--data-dir", str(tmp_path / "worker"), *options]
    with Server(tmp_path / "worker", command=command, serving="working for ", **env) as worker:
        assert worker.stop() == 1
        assert "Celery does not end" in "\n".join(worker.log)

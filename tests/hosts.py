"""Web hosts and workers of one site, as processes of this machine, with everything real that they share."""

from __future__ import annotations

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
import psycopg

from serving import BROKEN, WAIT_S, Server, wait_for

STATES = ("queued", "processing", "done", "failed")


class Site:
    """`with Site(directory, webs=2, workers=2, broker=URL, database=URL, files=URL) as site:` until the block ends.

    `settings` go to all of them. Each `imgpool worker` has `processes` pool processes.
    """

    def __init__(
        self, directory: Path, *, webs: int = 2, workers: int = 2, processes: int = 1, **settings: object
    ) -> None:
        self._directory = directory
        given = {"workers": processes, "disk_floor_bytes": 0, "drain_timeout_s": 5, **settings}
        self.env = {f"IMGPOOL_{name.upper()}": str(value) for name, value in given.items()}
        self.webs = [self._web(number) for number in range(webs)]
        self.workers = [self._worker(number) for number in range(workers)]
        self._stack = ExitStack()

    def _web(self, number: int) -> Server:
        return Server(self._directory / f"web{number}", **self.env)  # type: ignore[arg-type]

    def _worker(self, number: int) -> Server:
        directory = self._directory / f"worker{number}"
        command = [sys.executable, "-m", "imgpool", "worker", "--data-dir", str(directory)]
        return Server(directory, command=command, serving="working for ", **self.env)  # type: ignore[arg-type]

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(self._end)
            with ThreadPoolExecutor(8) as starters:  # the tables are made by one of them, the others wait
                started = [starters.submit(server.start) for server in (*self.webs, *self.workers)]
            for each in started:
                each.result()
            self._wait_until_all_are_there()
            self._stack = stack.pop_all()
        return self

    def _wait_until_all_are_there(self) -> None:
        """For every host to see. Celery says that it works before the processes of its pool have their decoders."""

        def there(web: Server) -> bool:
            told = {peer["pid"] for peer in web.get("/api/status")["peers"]}
            processes = [process for worker in self.workers for process in pool_processes(worker)]
            return {each.pid for each in (*processes, *(web.gunicorn_process() for web in self.webs))} <= told

        for web in self.webs:
            wait_for(lambda: there(web), "all hosts and workers")  # noqa: B023 - called at once

    def _end(self) -> None:
        """All at once: each has to wait for what it has in hand."""
        running = [each for each in (*self.workers, *self.webs) if hasattr(each, "process")]
        with ThreadPoolExecutor(8) as enders:
            for each in [enders.submit(server.stop) for server in running if server.process.poll() is None]:
                each.result()

    def kill_web(self, number: int) -> None:
        """`kill -9`, and a new one in its place."""
        self.webs[number].kill()
        started = self._web(number)
        started.start()
        self.webs[number] = started

    def kill_worker(self, number: int) -> None:
        """`kill -9` of Celery's main process, and a new worker in its place."""
        self.workers[number].kill()
        started = self._worker(number)
        started.start()
        self.workers[number] = started
        self._wait_until_all_are_there()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            for server in (*self.webs, *self.workers):
                print(f"--- {server.command[3]} {server.data_dir.name}", *server.log[-40:], sep="\n")
                if hasattr(server, "process") and server.process.poll() is None:
                    server.kill()  # what is wrong may be that it does not end
        self._stack.close()

    def counts(self, web: int = 0) -> dict[str, int]:
        counts: dict[str, int] = self.webs[web].get("/api/status")["counts"]
        return counts


def pool_processes(worker: Server) -> list[psutil.Process]:
    """The processes of a Celery worker's pool; their children are the decoders."""
    return psutil.Process(worker.process.pid).children()


class Witness:
    """Triggers of the test's own: every end of an image, and the most places that were ever taken."""

    def __init__(self, url: str) -> None:
        self._url = url

    def watch(self) -> None:
        """From now on; the tables have to be there."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute("""
                CREATE TABLE ends (id text, state text);
                CREATE TABLE taken (most integer);
                INSERT INTO taken VALUES (0);
                CREATE FUNCTION ended() RETURNS trigger LANGUAGE plpgsql AS $$
                    BEGIN INSERT INTO ends VALUES (NEW.id, NEW.state); RETURN NULL; END $$;
                CREATE FUNCTION took() RETURNS trigger LANGUAGE plpgsql AS $$
                    BEGIN UPDATE taken SET most = NEW.taken WHERE most < NEW.taken; RETURN NULL; END $$;
                CREATE TRIGGER ended AFTER UPDATE OF state ON images FOR EACH ROW
                    WHEN (NEW.state IN ('done', 'failed')) EXECUTE FUNCTION ended();
                CREATE TRIGGER took AFTER UPDATE ON room FOR EACH ROW EXECUTE FUNCTION took();
            """)

    def end_leases(self) -> None:
        """As if those who process an image had been silent for as long as a lease lasts."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute("UPDATE images SET lease_until = clock_timestamp() WHERE state = 'processing'")

    def ends(self) -> list[tuple[str, str]]:
        """(image ID, state), one for each time that an image ended."""
        with psycopg.connect(self._url) as connection:
            return [(str(image_id), str(state)) for image_id, state in connection.execute("SELECT * FROM ends")]

    def most_taken(self) -> int:
        with psycopg.connect(self._url) as connection:
            ((most,),) = connection.execute("SELECT most FROM taken").fetchall()
            return int(most)


@dataclass(frozen=True, slots=True)
class Answer:
    """What an upload was told: `status` 0 when the connection broke. `at` is by the monotonic clock, at its end."""

    url: str  # of the host
    at: float
    took_s: float
    status: int
    retry_after_s: int | None


class Uploaders:
    """Clients that upload the same photo to the hosts in turn, as fast as they are let, until `stop`. A refusal is
    tried again after a moment; a connection that breaks, too, and nobody knows then whether the image was kept.
    """

    def __init__(self, webs: list[Server], body: bytes, clients: int = 4) -> None:
        self._webs, self._body = webs, body
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self.accepted: list[str] = []  # IDs of which a client has read the 202
        self.refused: dict[int, int] = {}  # by status
        self.broken = 0
        self.answers: list[Answer] = []
        self._pool = ThreadPoolExecutor(clients)
        self._clients = [self._pool.submit(self._upload, number) for number in range(clients)]

    def _upload(self, number: int) -> None:
        turn = number
        while not self._stopping.is_set():
            turn += 1
            web, began = self._webs[turn % len(self._webs)], time.monotonic()
            try:
                status, told, headers = web.upload(self._body)
            except BROKEN:
                status, told, headers = 0, None, {}
            ended = time.monotonic()
            wait_s = headers.get("Retry-After")
            with self._lock:
                self.answers.append(Answer(web.url, ended, ended - began, status, int(wait_s) if wait_s else None))
                if status == 202:
                    self.accepted.append(told["images"][0]["id"])
                elif status == 0:
                    self.broken += 1
                else:
                    self.refused[status] = self.refused.get(status, 0) + 1
            if status != 202:
                self._stopping.wait(0.1)

    def wait_for_more(self, images: int, timeout_s: float = WAIT_S) -> None:
        """Until so many more were accepted."""
        enough = len(self.accepted) + images
        wait_for(lambda: len(self.accepted) >= enough, f"{images} more accepted images", timeout_s)

    def stop(self) -> list[str]:
        self._stopping.set()
        self._pool.shutdown()
        for client in self._clients:
            client.result()
        return self.accepted


def wait_until_settled(server: Server, timeout_s: float = WAIT_S) -> dict[str, int]:
    """As `Server.wait_until_settled`, of a server that may be unwell for a while."""
    limit = time.monotonic() + timeout_s
    while True:
        assert time.monotonic() < limit, "the images did not all end"
        try:
            counts: dict[str, int] = server.get("/api/status")["counts"]
            if counts["queued"] + counts["processing"] == 0:
                return counts
        except BROKEN:
            pass
        time.sleep(0.1)

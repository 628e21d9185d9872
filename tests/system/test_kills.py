"""`kill -9` at random moments under load; `--kills 100` is the long run."""

from __future__ import annotations

import random
import signal
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

import psutil
import pytest

from ledger import Ledger
from pictures import photo
from serving import BROKEN, WAIT_S, Server, lives, wait_for

CLIENTS = 4
FAULTY = str(Path(__file__).parent.parent / "faulty_server.py")
OPTIONS = ("--workers", "2", "--queue-capacity", "8", "--max-attempts", "100", "--disk-floor-bytes", "0")


class Load:
    """Clients that upload as long as the server answers, and write down each 202 that they read."""

    def __init__(self, server: Server, ledger: Ledger, seed: int, size: tuple[int, int] = (640, 480)) -> None:
        self._server, self._ledger, self._size = server, ledger, size
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(seed + n,)) for n in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def _run(self, seed: int) -> None:
        while not self._stop.is_set():
            try:
                status, answer, _ = self._server.upload(photo(*self._size, seed=seed % 16), f"{seed}.jpg")
            except (
                OSError,
                HTTPException,
                ValueError,
            ):  # killed: not accepted, or its 202 was lost or cut; all are allowed
                self._stop.wait(0.05)
                continue
            if status == 202:
                self._ledger.answered.append(answer["images"][0]["id"])
            else:
                self._stop.wait(0.02)

    def end(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(WAIT_S)


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--kills"))


def test_nothing_is_lost_when_the_server_is_killed(tmp_path: Path, kills: int) -> None:
    """The master and the gunicorn process at once; at each restart everything adds up."""
    moments = random.Random(20261123)
    ledger = Ledger(tmp_path / "data")
    found: Counter[str] = Counter()
    starts = []
    for number in range(kills):
        server = Server(ledger.data_dir, *OPTIONS)
        asked = time.monotonic()
        server.start()
        starts.append(time.monotonic() - asked)
        if number:
            ledger.check_recovered()
        before = len(ledger.answered)
        load = Load(server, ledger, number * CLIENTS)
        if number % 5:  # else at any moment: perhaps nothing was accepted yet
            wait_for(lambda: len(ledger.answered) > before, "a first answer")  # noqa: B023 - called at once
        time.sleep(moments.uniform(0.0, 0.6))
        server.kill()  # also waits until no process of it is left
        load.end()
        counts = ledger.check_dead()
        found["with images queued"] += counts["queued"] > 0
        found["with images processing"] += counts["processing"] > 0
    with Server(ledger.data_dir, *OPTIONS) as server:
        server.wait_until_settled()
    counts = ledger.check_settled()
    assert counts["failed"] == 0
    assert counts["done"] == counts["accepted"] >= len(ledger.answered) > 0
    print(
        f"\n{kills} kills: {len(ledger.answered)} answered 202, {counts['accepted']} accepted, {counts['done']} done; "
        f"{dict(found)}; start {sorted(starts)[len(starts) // 2]:.2f} s in the middle, {max(starts):.2f} s at most"
    )
    assert found["with images processing"] > kills // 2, "the kills met nobody at work"


def test_nothing_is_lost_when_the_gunicorn_process_alone_is_killed(tmp_path: Path, kills: int) -> None:
    """The master starts another one, which takes the data directory and goes on, while the clients keep coming."""
    moments = random.Random(20261124)
    ledger = Ledger(tmp_path / "data")
    with Server(ledger.data_dir, *OPTIONS) as server:
        load = Load(server, ledger, 0)
        for _ in range(kills):
            time.sleep(moments.uniform(0.05, 0.6))
            killed = server.gunicorn_process()
            children = killed.children()
            killed.kill()

            def answers() -> bool:
                try:
                    return server.gunicorn_process() != killed and server.status_of("/readyz") in (200, 503)  # noqa: B023
                except (*BROKEN, ValueError, psutil.Error):
                    return False

            wait_for(answers, "a new gunicorn process")
            wait_for(lambda: not any(map(lives, children)), "the end of the decoder children")  # noqa: B023
            counts = server.get("/api/status")["counts"]
            assert counts["accepted"] == sum(counts[state] for state in ("queued", "processing", "done", "failed"))
        load.end()
        server.wait_until_settled()
    counts = ledger.check_settled()
    assert counts["failed"] == 0
    assert counts["done"] == counts["accepted"] >= len(ledger.answered) > 0
    print(f"\n{kills} kills: {len(ledger.answered)} answered 202, {counts['accepted']} accepted and done")


def test_nothing_is_lost_when_decoder_children_are_killed(tmp_path: Path, kills: int) -> None:
    """As the system does when memory runs out: it costs an attempt, and no image, no worker, no process."""
    moments = random.Random(20261125)
    ledger = Ledger(tmp_path / "data")
    hit = 0
    with Server(ledger.data_dir, *OPTIONS) as server:
        load = Load(server, ledger, 0, (3000, 2250))
        wait_for(lambda: len(ledger.answered) > 0, "a first answer")
        for _ in range(kills):
            time.sleep(moments.uniform(0.1, 0.4))
            with suppress(psutil.NoSuchProcess, IndexError):
                moments.choice(server.gunicorn_process().children()).send_signal(signal.SIGKILL)
                hit += 1
        load.end()
        counts = server.wait_until_settled()
        assert counts["failed"] == 0
        assert counts["done"] == counts["accepted"] >= len(ledger.answered) > 0
        assert server.upload(photo())[0] == 202
        server.wait_until_settled()
        assert len(server.gunicorn_process().children()) == 2, "one child for each worker"
    ledger.check_settled()
    rows, _ = ledger.read()
    again = sum(row.attempts > 1 for row in rows.values())
    print(f"\n{hit} children killed: {counts['accepted']} accepted and done, {again} of them in more than one attempt")
    assert again > 0


def test_nothing_is_lost_when_the_server_is_killed_with_a_full_results_channel(tmp_path: Path, kills: int) -> None:
    """The store takes no outcome: results wait in their channel, workers wait for room, the queue fills, admission
    refuses. Then a kill; whatever was not recorded is processed again."""
    kills //= 5  # each has to fill the channel first
    ledger = Ledger(tmp_path / "data")
    for number in range(kills):
        command = [sys.executable, FAULTY, "--port", "0", "--data-dir", str(ledger.data_dir), *OPTIONS]
        server = Server(ledger.data_dir, command=command)
        server.start()
        before = server.wait_until_settled()["done"] if number else 0
        (ledger.data_dir / "hold").touch()
        full = False
        while not full:
            status, answer, _ = server.upload(photo(640, 480, seed=number))
            if status == 202:
                ledger.answered.append(answer["images"][0]["id"])
            told = server.get("/api/status")
            pool, processing = told["pool"], told["counts"]["processing"]
            full = status == 503 and pool["results"]["buffered"] == pool["busy"] == 2 and processing == 5
        assert server.get("/api/status")["counts"]["done"] == before
        server.kill()
        (ledger.data_dir / "hold").unlink()
        assert ledger.check_dead()["done"] == before
    with Server(ledger.data_dir, *OPTIONS) as server:
        ledger.check_recovered()
        server.wait_until_settled()
    counts = ledger.check_settled()
    rows, _ = ledger.read()
    again = sum(row.attempts > 1 for row in rows.values())
    assert (counts["done"], counts["failed"]) == (len(ledger.answered), 0)
    assert again == 5 * kills, (
        "two in workers' hands, two results in the channel, one in the collector's hands, each time"
    )
    print(f"\n{kills} kills with a full results channel: {counts['done']} accepted and done, {again} processed twice")

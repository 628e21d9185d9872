"""A thousand clients at once against two workers and 32 places.

Figures are printed. `python tests/load/thousand_clients.py` holds them to their limits, on an idle machine.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from load.watching import MIB, Watching, alone, crowd, outcome, percentile, rest_while_queued
from pictures import photo
from serving import Server, wait_for

pytestmark = pytest.mark.alone

OPTIONS = ("--workers", "2", "--queue-capacity", "32")


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 MP, 2.7 MB."""
    path = tmp_path_factory.mktemp("picture") / "photo.jpg"
    path.write_bytes(photo(4000, 3000, grain=20))
    assert 2_000_000 < path.stat().st_size < 3_000_000
    return path


def peak_with(clients: int, picture: Path, data_dir: Path) -> int:
    with Server(data_dir, *OPTIONS) as server:
        with Watching(server) as seen:
            told = outcome(crowd(server, picture, clients, "waits,regardless"))
            server.wait_until_settled()
        assert sum(told["by"].values()) == clients
        return seen.peak_bytes


def test_a_thousand_clients_at_once(tmp_path: Path, picture: Path) -> None:
    data_dir = tmp_path / "data"
    with Server(data_dir, *OPTIONS) as server:
        server.upload(picture.read_bytes())
        server.wait_until_settled()
        process = server.gunicorn_process()
        before = (process.num_threads(), process.num_fds())
        with alone(server), Watching(server) as seen:
            told = outcome(crowd(server, picture, 1000, "waits,regardless"))
            counts = server.wait_until_settled()
        status = server.get("/api/status")
        accepted = sum(number for kind, number in told["by"].items() if kind.endswith(" 202"))
        share, images = rest_while_queued(server, 2)
        print(
            f"\n1000 clients in {told['took_s']:.2f} s: {told['by']}\n"
            f"refusals read after {told['refusal_s']} s; /api/status p99 "
            f"{1000 * percentile(seen.status_s, 0.99):.0f} ms of {len(seen.status_s)}\n"
            f"workers rested {100 * share:.1f} % of the time in which one of {images} images waited"
        )
        assert set(told["by"]) <= {"waits 202", "waits 503", "regardless 202", "regardless 503"}, "all read an answer"
        assert sum(told["by"].values()) == 1000
        assert counts["done"] == counts["accepted"] == accepted + 1
        assert status["since_start"]["received"] == 1001
        assert status["refused_by"] == {"no_room": 1000 - accepted}
        assert share < 0.1
        # How long exactly is no matter of a shared machine; that nobody waits for a thread or for another client is.
        assert told["refusal_s"]["p99"] < 2
        assert percentile(seen.status_s, 0.99) < 2
        wait_for(lambda: process.num_fds() <= before[1], "the sockets to be closed")
        assert process.num_threads() == before[0]
        assert {each.name for each in (data_dir / "originals").iterdir()} == {
            image["id"] for image in server.get("/api/images?limit=200")["images"]
        }


def test_memory_does_not_grow_with_the_crowd(tmp_path: Path, picture: Path) -> None:
    few = peak_with(50, picture, tmp_path / "few")
    many = peak_with(1000, picture, tmp_path / "many")
    print(f"\npeak memory of all processes (PSS): {few / MIB:.0f} MiB with 50 clients, {many / MIB:.0f} with 1000")
    assert many <= 1.25 * few
    assert many < 400 * MIB


def test_browsers_in_a_crowd_read_their_answers(tmp_path: Path, picture: Path) -> None:
    from playwright.sync_api import sync_playwright

    fetches = """async (many) => {
        const photo = new Blob([new Uint8Array(2_500_000)]);
        const send = () => fetch("/api/images?name=browser.jpg", {method: "POST", body: photo})
            .then(async (answer) => { await answer.text(); return answer.status; }, (error) => String(error));
        return Promise.all(Array.from({length: many}, send));
    }"""
    with Server(tmp_path / "data", *OPTIONS) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        pages = [browser.new_page() for _ in range(2)]
        for page in pages:
            page.goto(server.url)
        server.steer(paused=True)  # so that it stays full, however long the browsers take
        running = crowd(server, picture, 500, "waits,regardless", "--rate", "250")
        wait_for(lambda: server.get("/api/status")["reason"] == "no_room", "the queue to be full")
        statuses = [status for page in pages for status in page.evaluate(fetches, 30)]
        told = outcome(running)
        server.steer(paused=False)
        browser.close()
        print(
            f"\n60 uploads of Chromium in a crowd of 500: { ({each: statuses.count(each) for each in set(statuses)}) }"
        )
        assert statuses == [503] * 60
        assert sum(told["by"].values()) == 500
        assert all(kind.endswith((" 202", " 503")) for kind in told["by"])
        server.wait_until_settled()


def test_clients_that_obey_retry_after_get_in(tmp_path: Path) -> None:
    picture = tmp_path / "small.jpg"
    picture.write_bytes(photo(1200, 900))
    with Server(tmp_path / "data", "--workers", "2", "--queue-capacity", "8") as server:
        began = time.monotonic()
        told = outcome(crowd(server, picture, 100, "waits", "--obey"))
        assert sum(number for kind, number in told["by"].items() if kind == "waits 202") == 100
        tries = {int(number): count for number, count in told["tries"].items()}
        mean = sum(number * count for number, count in tries.items()) / 100
        print(
            f"\n100 obedient clients on 8 places were all in after {time.monotonic() - began:.1f} s: "
            f"{mean:.1f} tries on average, {max(tries)} at most"
        )
        assert server.wait_until_settled()["done"] == 100

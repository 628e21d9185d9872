"""Two web hosts and two workers are one service, whichever host is asked; shown with everything real."""

from __future__ import annotations

import http.client
import json
import re
import socket
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil

from hosts import Site, Uploaders, Witness, pool_processes, wait_until_settled
from pictures import photo
from servers.redis import Redis
from serving import Server, wait_for


def ask(server: Server, method: str, path: str, body: Any = None) -> tuple[int, bytes, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, answer.read(), dict(answer.headers)
    finally:
        connection.close()


def test_two_hosts_are_one_service(tmp_path: Path, redis: Redis, database_url: str, shared: str) -> None:
    with Site(tmp_path, broker=redis.url, database=database_url, files=shared) as site:
        one, other = site.webs
        uploads = Uploaders(site.webs, photo(640, 480))
        uploads.wait_for_more(40)
        accepted = uploads.stop()
        counts = wait_until_settled(one)
        assert counts["accepted"] == counts["done"] == len(accepted)
        assert other.get("/api/status")["counts"] == counts
        image_id = accepted[0]
        pages = [ask(host, "GET", f"/api/images/{image_id}")[1] for host in site.webs]
        assert pages[0] == pages[1]
        assert ask(one, "GET", f"/api/images/{image_id}/thumb")[1][:3] == b"\xff\xd8\xff"
        assert (
            ask(one, "GET", f"/api/images/{image_id}/thumb")[1] == ask(other, "GET", f"/api/images/{image_id}/thumb")[1]
        )
        # Both tell of the same hosts and workers, and of what the workers did.
        for host in site.webs:
            told = host.get("/api/status")
            assert sorted(peer["kind"] for peer in told["peers"]) == ["web", "web", "worker", "worker"]
            assert all(peer["alive"] for peer in told["peers"])
            assert told["pool"]["workers"] == 2
        wait_for(lambda: one.get("/api/status")["service_s"]["p50"], "a measured time")
        page = ask(one, "GET", "/status")[1].decode()
        assert "Hosts and workers" in page
        assert "wait to be recorded" not in page
        assert "Memory for large images" not in page, "that is this host's, which decodes nothing"
        # What is told of all hosts may be a quarter of a second old.
        wait_for(lambda: b"imgpool_queue_buffered 0.0" in ask(one, "GET", "/metrics")[1], "an empty queue")
        assert b"imgpool_oldest_wait_seconds 0.0" in ask(one, "GET", "/metrics")[1]
        # What one deletes, the other has no more.
        assert ask(one, "DELETE", f"/api/images/{image_id}")[0] == 204
        assert ask(other, "GET", f"/api/images/{image_id}")[0] == 404
        assert ask(other, "GET", f"/api/images/{image_id}/thumb")[0] == 404


def test_steering_is_for_all_hosts_and_the_bound_is_one(
    tmp_path: Path, redis: Redis, database_url: str, shared: str, witness: Witness
) -> None:
    with Site(tmp_path, broker=redis.url, database=database_url, files=shared, queue_capacity=9) as site:
        witness.watch()
        one, other = site.webs
        assert ask(one, "PATCH", "/api/pool", {"paused": True, "queue_capacity": 5})[0] == 200
        wait_for(lambda: other.get("/api/status")["pool"]["queue"]["capacity"] == 5, "the other host to know")
        body = photo(320, 240)
        with ThreadPoolExecutor(16) as clients:  # a flood of both hosts, while nothing leaves the queue
            answers = list(clients.map(lambda number: site.webs[number % 2].upload(body), range(120)))
        statuses = [status for status, _, _ in answers]
        assert sorted(set(statuses)) == [202, 503]
        assert statuses.count(202) == 5
        assert all("Retry-After" in headers for status, _, headers in answers if status == 503)
        assert witness.most_taken() == 5
        assert site.counts()["queued"] == 5
        wait_for(lambda: other.get("/api/status")["reason"] == "no_room", "the other host to know that it is full")
        # The messages are lost, and found again.
        redis.forget_all()
        slow, quick = site.workers
        main = psutil.Process(slow.process.pid)
        main.suspend()  # one that does not answer in time gets its share all the same
        try:
            assert ask(other, "PATCH", "/api/pool", {"paused": False, "workers": 4})[0] == 200
            wait_for(lambda: len(pool_processes(quick)) > 1, "the other worker to have more")
        finally:
            main.resume()
        counts = wait_until_settled(one)
        assert (counts["accepted"], counts["done"]) == (5, 5)
        wait_for(lambda: one.get("/api/status")["pool"]["workers"] == 4, "four processes")
        assert [len(pool_processes(each)) for each in site.workers] == [2, 2]
        assert ask(one, "PATCH", "/api/pool", {"workers": 2})[0] == 200
        wait_for(lambda: other.get("/api/status")["pool"]["workers"] == 2, "two processes")
        assert len(witness.ends()) == 5


def test_a_database_that_is_away_costs_refusals(
    tmp_path: Path, redis: Redis, postgresql: Any, database_url: str, shared: str
) -> None:
    with Site(tmp_path, webs=1, workers=1, broker=redis.url, database=database_url, files=shared) as site:
        (web,) = site.webs
        body = photo(320, 240)
        assert web.upload(body)[0] == 202
        postgresql.freeze()
        try:
            with ThreadPoolExecutor(8) as clients:
                answers = list(clients.map(lambda _: web.upload(body), range(24)))
            assert {(status, told["type"].rpartition("/")[2]) for status, told, _ in answers} == {(503, "store-failed")}
            assert all("Retry-After" in headers for _, _, headers in answers)
            with urllib.request.urlopen(f"{web.url}/healthz", timeout=5) as answer:
                assert answer.status == 200
            assert web.status_of("/api/status") == 503
        finally:
            postgresql.thaw()
        wait_for(lambda: web.upload(body)[0] == 202, "the database to be of use again")
        counts = wait_until_settled(web)
        assert counts["accepted"] == counts["done"] >= 2


def test_hosts_that_were_started_with_different_capacities_say_so_and_the_newest_counts_once(
    tmp_path: Path, redis: Redis, database_url: str, shared: str
) -> None:
    # One that is killed is missed no sooner than the next one is there, and they do not agree in between.
    where = {"broker": redis.url, "database": database_url, "files": shared, "lease_s": 120}

    def disagrees(page: str) -> bool:
        (paragraph,) = re.findall(r"<p [^>]*data-peers-disagree[^>]*>", page)
        return " hidden" not in paragraph

    with Site(tmp_path, webs=1, workers=0, queue_capacity=64, **where) as site:
        (one,) = site.webs
        assert not disagrees(ask(one, "GET", "/status")[1].decode())
        with Server(tmp_path / "other", **{**site.env, "IMGPOOL_QUEUE_CAPACITY": "32"}) as other:
            started = {one.gunicorn_process().pid: 64, other.gunicorn_process().pid: 32}

            def told() -> dict[int, int]:
                return {peer["pid"]: peer["queue_capacity"] for peer in one.get("/api/status")["peers"]}

            # What is told of all hosts may be a quarter of a second old.
            wait_for(lambda: told() == started, "the other host to be known")
            assert one.get("/api/status")["pool"]["queue"]["capacity"] == 32
            site.kill_web(0)
            (one,) = site.webs
            for host in (one, other):
                assert host.get("/api/status")["pool"]["queue"]["capacity"] == 32, "a start alone changes nothing"
                page = ask(host, "GET", "/status")[1].decode()
                assert disagrees(page)
                assert f"32 on {socket.gethostname()} {other.gunicorn_process().pid}; 64 on" in page
                wait_for(lambda: any("--queue-capacity: " in line for line in host.log), "the warning")  # noqa: B023
                assert sum("--queue-capacity: " in line for line in host.log) == 1, "once"
        wait_for(lambda: not disagrees(ask(one, "GET", "/status")[1].decode()), "agreement")

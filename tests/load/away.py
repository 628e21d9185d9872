"""A part of a site that is away for a while, under load: what clients are told meanwhile, how soon, and what becomes
of all that was accepted. The run of `scaleout_run.py --away`.
"""

from __future__ import annotations

import math
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hosts import Answer, Site, Uploaders, Witness, wait_until_settled
from pictures import photo
from servers.postgresql import PostgreSQL
from servers.redis import Redis
from servers.swift import Swift
from serving import wait_for

CAPACITY = 64
SIZE = (2400, 1800)
BEFORE = 20  # images that are accepted before it goes
PATHS = ("/healthz", "/status", "/api/status", "/metrics")
LOOK_S = 1.0


@dataclass(frozen=True)
class Outage:
    """How a part goes away, and comes back."""

    part: str
    how: str
    go: Callable[[], None]
    come: Callable[[], None]


def outages(postgresql: PostgreSQL, swift: Swift, redis: Redis, parts: list[str]) -> list[Outage]:
    """Each part twice: ended, so that connections are refused; and frozen, so that nothing is ever answered, as behind
    a cable that was pulled.
    """
    servers: dict[str, PostgreSQL | Swift | Redis] = {"database": postgresql, "S3": swift, "broker": redis}
    found = []
    for part in parts:
        server = servers[part]
        found += [Outage(part, "ended", server.kill, server.start), Outage(part, "frozen", server.freeze, server.thaw)]
    return found


def away(root: Path, outage: Outage, settings: dict[str, str], away_s: float) -> bool:
    """Whether the outage cost refusals, each with a time to come back, and no image. Prints how it went."""
    with Site(root, queue_capacity=CAPACITY, max_attempts=5, **settings) as site:
        witness = Witness(settings["database"])
        witness.watch()
        uploads = Uploaders(site.webs, photo(*SIZE), clients=6)
        uploads.wait_for_more(BEFORE, 120)
        looks = Looks([server.url for server in site.webs])
        outage.go()
        gone = time.monotonic()
        looks.start()
        time.sleep(away_s)
        told_until = time.monotonic()
        outage.come()
        back = time.monotonic()
        looks.stop()
        for url in [server.url for server in site.webs]:
            wait_for(lambda: _soonest(uploads.answers, url, back) is not None, f"uploads to {url}", 120)  # noqa: B023
        accepted = uploads.stop()
        counts = wait_until_settled(site.webs[0], 300)
        settled_s = time.monotonic() - back
        ends = Counter(image_id for image_id, _ in witness.ends())
        most = witness.most_taken()
    answers = [each for each in uploads.answers if gone < each.at < told_until]
    print(f"\n{outage.part} {outage.how} for {told_until - gone:.0f} s, under six clients that come back at once:")
    for status, group in sorted(_by_status(answers).items()):
        _tell(status, group)
    for path, took in looks.took.items():
        answered = Counter(status for status, _ in took)
        print(f"  GET {path}: {dict(answered)}, slowest {max(s for _, s in took):.1f} s")
    again = [f"{_soonest(uploads.answers, server.url, back):.1f} s" for server in site.webs]
    print(f"  back: the hosts accepted again after {' and '.join(again)}; all had ended after {settled_s:.1f} s")
    lost = [image_id for image_id in accepted if image_id not in ends]
    twice = [image_id for image_id, number in ends.items() if number != 1]
    without = [each for each in answers if each.status in (503, 507) and each.retry_after_s is None]
    print(f"  {len(accepted)} accepted; {counts}; lost {len(lost)}, ended twice {len(twice)}, most places {most} of 64")
    odd = {each.status for each in answers} - {202, 503}
    for what in (f"refused without Retry-After: {len(without)}" * bool(without), f"odd answers: {odd}" * bool(odd)):
        if what:
            print(f"  {what}")
    # Deleted is what was recorded and refused all the same, since the database could not say so any more.
    all_done = counts["done"] == len(ends) == counts["accepted"] - counts["deleted"]
    return all_done and not lost and not twice and not without and not odd


def _soonest(answers: list[Answer], url: str, back: float) -> float | None:
    """After how long the host accepted an upload again."""
    accepted = [each.at for each in answers if (each.status, each.url) == (202, url) and each.at > back]
    return min(accepted) - back if accepted else None


def _by_status(answers: list[Answer]) -> dict[int, list[Answer]]:
    groups: dict[int, list[Answer]] = {}
    for each in answers:
        groups.setdefault(each.status, []).append(each)
    return groups


def _tell(status: int, group: list[Answer]) -> None:
    took = sorted(each.took_s for each in group)
    p50, p99 = (took[math.ceil(len(took) * share) - 1] for share in (0.5, 0.99))
    waits = Counter(each.retry_after_s for each in group)
    what = {202: "accepted", 0: "connections broken"}.get(status, f"refused with {status}")
    told = "" if set(waits) == {None} else f"; Retry-After {dict(waits.most_common(4))}"
    print(f"  {what}: {len(group)}, after {p50:.2f} s (median), {p99:.1f} s (99 %), {took[-1]:.1f} s (slowest){told}")


class Looks:
    """Somebody who looks at the pages once a second, each with its status and how long it took."""

    def __init__(self, urls: list[str]) -> None:
        self._urls = urls
        self.took: dict[str, list[tuple[int, float]]] = {path: [] for path in PATHS}
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._look, args=(path,)) for path in PATHS]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _look(self, path: str) -> None:
        turn = 0
        while True:
            turn += 1
            began = time.monotonic()
            try:
                with urllib.request.urlopen(self._urls[turn % len(self._urls)] + path, timeout=60) as answer:
                    answer.read()
                    status = int(answer.status)
            except urllib.error.HTTPError as error:
                error.close()
                status = error.code
            except OSError:
                status = 0
            self.took[path].append((status, time.monotonic() - began))
            if self._stopping.wait(LOOK_S):
                return

"""`kill -9` of each part of a site in turn, under load: nothing that was accepted is lost, nothing ends twice."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hosts import Site, Uploaders, Witness, pool_processes, wait_until_settled
from pictures import photo
from servers.postgresql import PostgreSQL
from servers.redis import Redis
from servers.swift import Swift
from serving import Server

MORE = 8  # images that have to be accepted between two kills
CAPACITY = 16


def all_images(web: Server) -> list[dict[str, Any]]:
    """Those too whose 202 nobody read."""
    images: list[dict[str, Any]] = []
    query = "limit=200"
    while True:
        page = web.get(f"/api/images?{query}")
        images += page["images"]
        if page["next"] is None:
            return images
        query = f"limit=200&cursor={page['next']}"


def test_each_part_is_killed_and_nothing_is_lost_or_done_twice(
    tmp_path: Path, redis: Redis, postgresql: PostgreSQL, database_url: str, swift: Swift, witness: Witness
) -> None:
    folder = swift.folder()
    settings = {"broker": redis.url, "database": database_url, "files": folder.url, "s3_endpoint": swift.endpoint}
    with Site(tmp_path, queue_capacity=CAPACITY, max_attempts=5, lease_s=3, **settings) as site:
        witness.watch()

        def broker() -> None:
            redis.kill()
            redis.start()

        def database() -> None:
            postgresql.kill()
            postgresql.start()

        def files() -> None:
            swift.kill()
            swift.start()

        def decoder() -> None:
            (process,) = pool_processes(site.workers[0])
            for child in process.children():
                child.kill()

        kills: dict[str, Callable[[], None]] = {
            "web process": lambda: site.kill_web(0),
            "worker": lambda: site.kill_worker(0),
            "pool process": lambda: pool_processes(site.workers[1])[0].kill(),
            "decoder": decoder,
            "broker": broker,
            "database": database,
            "S3": files,
        }
        uploads = Uploaders(site.webs, photo(1200, 900))
        uploads.wait_for_more(MORE)
        for what, kill in kills.items():
            began = time.monotonic()
            kill()
            uploads.wait_for_more(MORE)
            print(f"{what}: {time.monotonic() - began:.1f} s until {MORE} more were accepted")
        accepted = uploads.stop()
        counts = wait_until_settled(site.webs[1])
        ends = Counter(image_id for image_id, _ in witness.ends())
        images = [site.webs[0].get(f"/api/images/{image_id}") for image_id in accepted]
        attempts = Counter(image["attempts"] for image in images)
        print(
            f"accepted {len(accepted)}, refused {uploads.refused}, broken {uploads.broken}, "
            f"attempts {attempts}, {counts}"
        )
        assert Counter(image["state"] for image in images) == {"done": len(accepted)}
        # Deleted is what was taken back: when the database died, nobody knew that it had been recorded.
        assert counts["accepted"] - counts["deleted"] == counts["done"] == len(ends)
        assert counts["deleted"] <= uploads.refused.get(503, 0)
        assert set(ends.values()) == {1}
        # What a killed worker had goes back into the queue, full or not.
        assert witness.most_taken() <= CAPACITY + sum(image["attempts"] - 1 for image in all_images(site.webs[0]))

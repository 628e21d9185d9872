"""Two web hosts and two workers on this machine, everything real: photos through both, each part killed on the way.

    python tests/load/scaleout_run.py [--photos 2000] [--no-goodput]
    python tests/load/scaleout_run.py --away 60 [--part database|S3|broker] [--how ended|frozen]

Prints what became of every photo, and the goodput with one worker process and with two: with S3, whose server takes its
share of the same CPUs, and with a directory in its place, which leaves them to the workers. Takes some minutes; wants
PostgreSQL, redis-server and the extra imgpool[test]. Ends with 1 when something was lost or ended twice.

With `--away 60`, each part is away for a minute instead, once ended and once frozen, under load: prints what was
refused, how and how soon. Ends with 1 also when a refusal had no time to come back.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from away import away, outages

from hosts import Site, Uploaders, Witness, pool_processes, wait_until_settled
from pictures import photo
from servers.postgresql import PostgreSQL, programs
from servers.redis import Redis
from servers.swift import Swift, credentials
from serving import wait_for

SIZE = (2400, 1800)
GOODPUT_SIZE = (4000, 3000)
QUEUED, WARM = 200, 10
PARTS = ["database", "S3", "broker"]


def main() -> int:
    """The whole run; returns the exit status."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--photos", type=int, default=2000)
    parser.add_argument("--no-goodput", action="store_true")
    parser.add_argument("--away", type=float, metavar="SECONDS")
    parser.add_argument("--part", choices=PARTS, action="append")
    parser.add_argument("--how", choices=("ended", "frozen"))
    options = parser.parse_args()
    os.environ.update(credentials())
    bin_directory = programs()
    if bin_directory is None:
        print("PostgreSQL is not installed", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        postgresql, swift = PostgreSQL(bin_directory), Swift(root / "swift")
        try:
            postgresql.start()
            swift.start()
            swift.make_bucket()
            with Redis(root) as redis:
                if options.away:
                    right = True
                    for outage in outages(postgresql, swift, redis, options.part or PARTS):
                        if options.how in (None, outage.how):
                            with postgresql.database() as url:
                                settings = {"broker": redis.url, "database": url, **files("S3", root, swift)}
                                place = Path(tempfile.mkdtemp(dir=root))
                                right &= away(place, outage, settings, options.away)
                    return 0 if right else 1
                if not options.no_goodput:
                    for what in ("S3", "a directory"):
                        one, two = (goodput(root, postgresql, redis, files(what, root, swift), n) for n in (1, 2))
                        told = f"{one:.1f} images/s with one worker, {two:.1f} with two: {two / one:.2f} times"
                        print(f"goodput with {what}: {told}", flush=True)
                return 0 if not options.photos or kills(root, postgresql, redis, swift, options.photos) else 1
        finally:
            swift.stop()
            postgresql.remove()


def files(what: str, root: Path, swift: Swift) -> dict[str, str]:
    """Settings of new files on S3, or in a directory."""
    if what == "S3":
        return {"files": swift.folder().url, "s3_endpoint": swift.endpoint}
    return {"files": Path(tempfile.mkdtemp(dir=root)).as_uri()}


def goodput(root: Path, postgresql: PostgreSQL, redis: Redis, where: dict[str, str], workers: int) -> float:
    """Images a second with which so many workers, of one process each, empty a full queue that nobody adds to."""
    with postgresql.database() as url:
        settings = {"broker": redis.url, "database": url, **where}
        with Site(Path(tempfile.mkdtemp(dir=root)), webs=1, workers=workers, queue_capacity=QUEUED, **settings) as site:
            (web,) = site.webs
            web.steer(paused=True)
            uploads = Uploaders(site.webs, photo(*GOODPUT_SIZE), clients=4)
            uploads.wait_for_more(QUEUED, 300)
            uploads.stop()
            web.steer(paused=False)
            wait_for(lambda: site.counts()["done"] >= WARM, "the first images", 60)
            before, began = site.counts()["done"], time.monotonic()
            done = wait_until_settled(web, 300)["done"] - before
            return done / (time.monotonic() - began)


def kills(root: Path, postgresql: PostgreSQL, redis: Redis, swift: Swift, photos: int) -> bool:
    """Whether all that was accepted ended once, while each part was killed."""
    folder = swift.folder()
    with postgresql.database() as url:
        settings = {"broker": redis.url, "database": url, "files": folder.url, "s3_endpoint": swift.endpoint}
        with Site(root / "kills", queue_capacity=64, max_attempts=5, lease_s=3, **settings) as site:
            witness = Witness(url)
            witness.watch()

            def again(server: Redis | PostgreSQL | Swift) -> Callable[[], None]:
                def kill() -> None:
                    server.kill()
                    server.start()

                return kill

            def decoder() -> None:
                for child in pool_processes(site.workers[0])[0].children():
                    child.kill()

            parts: dict[str, Callable[[], None]] = {
                "web process": lambda: site.kill_web(0),
                "worker": lambda: site.kill_worker(0),
                "pool process": lambda: pool_processes(site.workers[1])[0].kill(),
                "decoder": decoder,
                "broker": again(redis),
                "database": again(postgresql),
                "S3": again(swift),
            }
            began = time.monotonic()
            uploads = Uploaders(site.webs, photo(*SIZE), clients=6)
            for what, kill in parts.items():
                uploads.wait_for_more(photos // (len(parts) + 1), 600)
                at = time.monotonic()
                kill()
                uploads.wait_for_more(1, 120)
                print(f"{what}: killed, and {time.monotonic() - at:.1f} s later a photo was accepted", flush=True)
            uploads.wait_for_more(max(0, photos - len(uploads.accepted)), 600)
            accepted = uploads.stop()
            counts = wait_until_settled(site.webs[0], 300)
            took_s = time.monotonic() - began
            ends = Counter(image_id for image_id, _ in witness.ends())
            most = witness.most_taken()
            states = Counter(site.webs[1].get(f"/api/images/{image_id}")["state"] for image_id in accepted)
    lost = [image_id for image_id in accepted if image_id not in ends]
    twice = [image_id for image_id, number in ends.items() if number != 1]
    print(f"{len(accepted)} accepted in {took_s:.0f} s, refused {uploads.refused}, connections broken {uploads.broken}")
    print(f"{counts}; states of those that clients know: {dict(states)}; lost {len(lost)}, ended twice {len(twice)}")
    print(f"most places ever taken: {most} of 64")
    return not lost and not twice and counts["accepted"] == counts["done"] == len(ends)


if __name__ == "__main__":
    sys.exit(main())

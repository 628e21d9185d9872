"""imgpool and its peers on the same work: the same photos, the same client, one after the other, in one run.

    python tests/benchmarks/peers/run.py [--seconds 15] [--users 20] [--json FILE] [PEER...] [--images FILE...]

Installs what the peers need into `.work` beside this file, with npm and pip; Node, npm and redis-server have to be
there. Every peer gets the four 12-megapixel sample photos, with the grain of a sensor, from `imgpool load --users N
--until-done` and makes a 1600 and a 256 pixel JPEG of quality 82. `..._first_written` is the same peer as its examples
have it, before it was tuned: see its files. CPU and memory are those of all its processes, without the client's.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

from thumbor_client import Clients

from imgpool.load.bare_loops import camera_photos
from imgpool.load.child_server import ChildServer
from imgpool.load.summary import percentiles

HERE = Path(__file__).parent
WORK = HERE / ".work"
CPUS = len(os.sched_getaffinity(0))


def install(peers: list[str]) -> None:
    """What these peers need, into `.work`, once. Each of Python's has an environment of its own: thumbor wants an older
    Pillow.
    """
    for peer in {name.removesuffix("_first_written") for name in peers} - {"imgpool"}:
        if peer == "fastify_sharp":
            if not (WORK / "fastify_sharp/node_modules").is_dir():
                shutil.copytree(HERE / "fastify_sharp", WORK / "fastify_sharp", dirs_exist_ok=True)
                subprocess.run(["npm", "install", "--no-audit", "--no-fund"], cwd=WORK / "fastify_sharp", check=True)
        elif not (WORK / peer / "whole").exists():
            venv.create(WORK / peer, with_pip=True, clear=True)
            wanted = ["-r", str(HERE / peer / "requirements.txt")]
            subprocess.run([str(WORK / peer / "bin/pip"), "install", "--quiet", *wanted], check=True)
            (WORK / peer / "whole").touch()


def command(peer: str, data: Path) -> list[str]:
    if peer == "imgpool":
        return [sys.executable, "-m", "imgpool", "serve", "--port", "0", "--data-dir", str(data)]
    first_written = f"PEER_AS_FIRST_WRITTEN={int(peer.endswith('_first_written'))}"
    if peer.startswith("fastify_sharp"):
        shutil.copy(HERE / "fastify_sharp/server.js", WORK / "fastify_sharp/server.js")
        size = f"UV_THREADPOOL_SIZE={max(4, CPUS + 2)}"
        return ["env", size, first_written, "node", str(WORK / "fastify_sharp/server.js"), str(data)]
    directory = peer.removesuffix("_first_written")
    serve = [str(WORK / directory / "bin/python"), str(HERE / directory / "serve.py"), str(data)]
    return ["env", first_written, *serve]


PEERS = (
    "imgpool", "fastify_sharp", "fastify_sharp_first_written", "flask_celery", "flask_celery_first_written",
)  # fmt: skip


def measure(peer: str, users: int, seconds: float, photos: list[Path], work: Path) -> dict[str, Any]:
    with ChildServer(peer, command(peer, work / "data"), work / "log") as server:
        flood = through_thumbor if peer == "thumbor" else through_imgpool_load
        flood(server.url, users, 2.0, photos)  # warm
        before = server.look().cpu_s
        told = flood(server.url, users, seconds, photos)
        cpu_s = server.look().cpu_s - before
        peak = max(each.memory_bytes for each in server.seen)
    return {
        "peer": peer,
        **told,
        "cpu_ms_per_image": 1000 * cpu_s / told["done"],
        "peak_memory_mib": peak / 1024**2,
    }


def through_imgpool_load(url: str, users: int, seconds: float, photos: list[Path]) -> dict[str, Any]:
    images = [word for path in photos for word in ("--images", str(path))]
    load = [sys.executable, "-m", "imgpool", "load", url, "--users", str(users), "--until-done", *images]
    options = ["--hold-s", str(seconds), "--follow-s", "60", "--json", "-"]
    told = subprocess.run([*load, *options], check=True, capture_output=True, text=True)
    result = json.loads(told.stdout)
    return {
        "images_per_s": result["goodput_per_s"],
        "p99_to_done_s": result["latency_s"]["end_to_end"]["p99"],
        "done": result["ended"]["done"],
        "not_done": sum(result["ended"].values()) - result["ended"]["done"],
        "client_bottleneck": result["client"]["bottleneck"],
    }


def through_thumbor(url: str, users: int, seconds: float, photos: list[Path]) -> dict[str, Any]:
    clients = Clients(url, photos)
    lasted_s = clients.run(users, seconds)
    done = len(clients.times)
    return {
        "images_per_s": done / lasted_s,
        "p99_to_done_s": percentiles(clients.times)["p99"],
        "done": done,
        "not_done": clients.failed,
        "client_bottleneck": False,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peers", nargs="*", default=[], metavar="PEER", help=", ".join(PEERS))
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--images", type=Path, nargs="+", default=[], help="instead of the sample photos")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    asked.peers = asked.peers or list(PEERS)
    install(asked.peers)
    with tempfile.TemporaryDirectory(prefix="imgpool-photos-") as folder:
        run(asked, asked.images or camera_photos(Path(folder)))


def run(asked: argparse.Namespace, photos: list[Path]) -> None:
    results = []
    print(f"{asked.users} clients, {asked.seconds:g} s, {CPUS} CPUs that client and server share\n")
    print("| | images/s | CPU ms an image | peak memory | p99 to done | imgpool's rate is |")
    print("|---|---|---|---|---|---|")
    for peer in asked.peers:
        with tempfile.TemporaryDirectory(prefix="imgpool-peers-") as work:
            one = measure(peer, asked.users, asked.seconds, photos, Path(work))
        results.append(one)
        by = results[0]["images_per_s"] / one["images_per_s"]
        note = f" ({one['not_done']} not done)" if one["not_done"] else ""
        print(
            f"| {peer}{note} | {one['images_per_s']:.1f} | {one['cpu_ms_per_image']:.0f} | "
            f"{one['peak_memory_mib']:.0f} MiB | {one['p99_to_done_s']:.1f} s | {by:.1f} x |",
            flush=True,
        )
    if asked.json:
        asked.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()

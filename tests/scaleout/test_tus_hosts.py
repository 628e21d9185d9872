"""A tus client through nginx to two hosts: each request may reach another one, and one of them dies on the way."""

from __future__ import annotations

import re
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hosts import Site, wait_until_settled
from pictures import photo
from servers.ports import free_port
from servers.redis import Redis
from servers.swift import Swift
from serving import wait_for
from tus_clients import CLIENTS, WAIT_S, Client, packages  # noqa: F401 - a fixture

NGINX = "/usr/sbin/nginx"
BALANCER = (Path(__file__).parents[2] / "docs" / "deploy" / "nginx.conf").read_text()
CHUNK_BYTES = 128 * 1024


@contextmanager
def balanced(folder: Path, ports: list[int]) -> Iterator[tuple[str, Path]]:
    """docs/deploy/nginx.conf in front of these ports: its URL, and the file where it writes which host had what."""
    port = free_port()
    block = BALANCER.replace("listen 80;", f"listen 127.0.0.1:{port};")
    for example, real in zip(("10.0.0.11:8000", "10.0.0.12:8000"), ports, strict=True):
        assert example in block
        block = block.replace(example, f"127.0.0.1:{real}")
    folder.mkdir()
    places = "".join(f" {name}_temp_path {folder}/{name};" for name in ("fastcgi", "uwsgi", "scgi", "proxy"))
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; worker_processes 1; error_log {folder}/error.log;\nevents {{}}\n"
        "http {\n log_format hosts '$request_method $status $upstream_addr';\n"
        f" access_log {folder}/access.log hosts;\n{places} client_body_temp_path {folder}/body;\n{block}\n}}\n"
    )
    process = subprocess.Popen([NGINX, "-e", str(folder / "error.log"), "-p", str(folder), "-c", "nginx.conf"])
    try:
        wait_for(lambda: listens(port), "nginx to listen")
        yield f"http://127.0.0.1:{port}", folder / "access.log"
    finally:
        process.terminate()
        process.wait(WAIT_S)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.skipif(not Path(NGINX).exists(), reason="nginx is not installed")
def test_an_upload_goes_on_at_another_host(
    tmp_path: Path,
    packages: Path,  # noqa: F811
    redis: Redis,
    database_url: str,
    swift: Swift,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "lake.png"
    file.write_bytes(photo(1400, 1000, file_format="PNG"))
    monkeypatch.setenv("CHUNK_BYTES", str(CHUNK_BYTES))
    folder = swift.folder()
    shared = {"broker": redis.url, "database": database_url, "files": folder.url, "s3_endpoint": swift.endpoint}
    with (
        Site(tmp_path, workers=1, **shared) as site,
        balanced(tmp_path / "nginx", [web.port for web in site.webs]) as (url, log),
    ):
        hold = tmp_path / "hold"
        hold.touch()
        monkeypatch.setenv("HOLD_AT", str(4 * CHUNK_BYTES))
        monkeypatch.setenv("HOLD_FILE", str(hold))
        client = Client("node", str(CLIENTS / "upload.mjs"), str(packages), f"{url}/api/uploads", str(file))
        wait_for(lambda: "holds" in client.lines, "a part of it to be stored", WAIT_S)
        first = Counter(line.split()[2] for line in log.read_text().splitlines() if line.startswith("PATCH 204"))
        site.webs[0].kill()
        at_the_kill = stored(client)
        hold.unlink()
        image_id = client.image_id()
        assert at_the_kill < file.stat().st_size // 2, "it was on its way"
        assert set(first) == {f"127.0.0.1:{web.port}" for web in site.webs}, "both hosts had a part of it"
        counts = wait_until_settled(site.webs[1])
        assert (counts["accepted"], counts["done"]) == (1, 1)
        image = site.webs[1].get(f"/api/images/{image_id}")
        assert (image["state"], image["name"], image["bytes"]) == ("done", "lake.png", file.stat().st_size)
        went_on = [int(line.split()[2]) for line in client.lines if re.match(r"HEAD 200 \d", line)]
        print(f"\nkilled at {at_the_kill} of {file.stat().st_size} bytes, went on at {went_on}; before: {dict(first)}")
        assert all(offset >= at_the_kill for offset in went_on), "nothing that was told to be stored came twice"
        assert site.webs[1].get("/api/status")["unfinished"]["uploads"] == 0
        # What is told of all hosts may be a quarter of a second old.
        wait_for(
            lambda: site.webs[1].get("/api/status")["pool"]["queue"]["reserved"] == 0, "its place to be given back"
        )
    with folder.read(f"originals/{image_id}") as chunks:
        assert b"".join(chunks) == file.read_bytes()
    assert [key for page in folder.pages("unfinished/") for key, _ in page.objects] == []


def stored(client: Client) -> int:
    """What the client was last told."""
    told = [line.split()[2] for line in list(client.lines) if line.startswith(("PATCH 204", "HEAD 200"))]
    return int(told[-1]) if told else 0

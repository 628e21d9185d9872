"""Behind a real nginx with docs/deploy.md's server block: bodies stream, refusals pass, addresses are known."""

from __future__ import annotations

import http.client
import json
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pictures import photo
from rawhttp import head, read_answer
from servers.ports import free_port
from serving import PATIENT, WAIT_S, Server, wait_for

NGINX = "/usr/sbin/nginx"
DOCUMENT = (Path(__file__).parent.parent.parent / "docs" / "deploy.md").read_text()
BODY = photo(3000, 2250)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("nginx")
    options = ("--workers", "1", "--queue-capacity", "2", "--max-uploads-per-client", "1", *PATIENT)
    with Server(folder / "data", *options, "--trusted-proxies", "127.0.0.1") as running:
        yield running


@pytest.fixture(scope="module")
def port(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Where nginx listens."""
    folder = tmp_path_factory.mktemp("nginx-home")
    port = free_port()
    found = re.search(r"<!-- nginx server block -->\n```nginx\n(.*?)```", DOCUMENT, re.DOTALL)
    assert found
    block = (
        found[1]
        .replace("listen 80;", f"listen 127.0.0.1:{port};")
        .replace("127.0.0.1:8000", f"127.0.0.1:{server.port}")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; worker_processes 1; error_log {folder}/error.log;\n"
        "events {}\n"
        f"http {{\n access_log off;\n client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;\n"
        f" fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n{block}\n}}\n"
    )
    process = subprocess.Popen([NGINX, "-e", str(folder / "error.log"), "-p", str(folder), "-c", "nginx.conf"])
    wait_for(lambda: reachable(port), "nginx to listen")
    yield port
    process.terminate()
    process.wait(WAIT_S)
    assert not any((folder / "body").iterdir()), "a body was kept on nginx's disk"


def reachable(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0


def connect(port: int, source: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=WAIT_S, source_address=(source, 0))


def reserved(server: Server) -> int:
    return int(server.get("/api/status")["pool"]["queue"]["reserved"])


def test_pages_and_uploads_pass(server: Server, port: int) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_S)) as client:
        client.request("GET", "/status")
        answer = client.getresponse()
        assert (answer.status, b"imgpool" in answer.read()) == (200, True)
        client.request("POST", "/api/images?name=a.jpg", body=BODY)
        answer = client.getresponse()
        assert answer.status == 202, answer.read()
        answer.read()
        client.request("POST", "/api/images?name=b.jpg", body=iter([BODY[:1000], BODY[1000:]]), encode_chunked=True)
        assert client.getresponse().status == 202
    server.wait_until_settled()


def test_a_body_streams_and_its_client_is_known_by_its_address(server: Server, port: int) -> None:
    with closing(connect(port, "127.0.0.2")) as first:
        first.sendall(head(len(BODY)) + BODY[:100_000])
        wait_for(lambda: reserved(server) == 1, "the slot to be held while the body is still coming")
        for forged in ((), ("X-Forwarded-For: 192.0.2.99",)):
            with closing(connect(port, "127.0.0.2")) as second:
                second.sendall(head(len(BODY), *forged))
                status, headers, body = read_answer(second)
                assert (status, json.loads(body)["type"]) == (429, "/problems/too-many-uploads")
                assert int(headers["retry-after"]) >= 1
        with closing(connect(port, "127.0.0.3")) as other:
            other.sendall(head(len(BODY)) + BODY)
            assert read_answer(other)[0] == 202
        first.sendall(BODY[100_000:])
        assert read_answer(first)[0] == 202
    server.wait_until_settled()


def test_a_refusal_passes_to_clients_that_send_the_whole_body_regardless(server: Server, port: int) -> None:
    with closing(connect(port, "127.0.0.2")) as first, closing(connect(port, "127.0.0.3")) as second:
        for holder in (first, second):
            holder.sendall(head(len(BODY)) + BODY[:100_000])
        wait_for(lambda: reserved(server) == 2, "both slots to be held")
        for number in range(10):
            source = (f"127.0.0.{10 + number}", 0)
            with closing(http.client.HTTPConnection("127.0.0.1", port, WAIT_S, source)) as client:
                client.request("POST", "/api/images", body=BODY)
                answer = client.getresponse()
                assert (answer.status, json.load(answer)["type"]) == (503, "/problems/no-room")
                assert answer.headers["Retry-After"]
        for holder in (first, second):
            holder.sendall(BODY[100_000:])
            assert read_answer(holder)[0] == 202
    server.wait_until_settled()

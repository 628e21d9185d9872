"""Access as it is met from outside: where the server listens, what it gives away, what it never reads."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import stat
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pictures import photo
from servers.ports import free_port
from serving import WAIT_S, Server, wait_for

BIN = Path(sys.executable).parent
TOKEN = "a-token-for-tests-5f1c"
UPLOAD_TOKEN = "another-for-uploads-77e0"
STEER = {"Authorization": f"Bearer {TOKEN}"}
FAST = ("--workers", "1", "--isolation", "thread")


def ask(server: Server, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes, Any]:
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=WAIT_S)) as client:
        client.request(method, path, body, headers)
        answer = client.getresponse()
        return answer.status, answer.read(), answer.headers


def command(kind: str) -> list[str]:
    return {
        "imgpool": [sys.executable, "-m", "imgpool", "serve", "--host", "0.0.0.0", "--port", "0"],
        "gunicorn": [
            *(str(BIN / "gunicorn"), "-c", "python:imgpool.server.gunicorn_conf", "-b", "0.0.0.0:0"),
            "imgpool.web:create_app()",
        ],
        "flask": [
            *(str(BIN / "flask"), "--app", "imgpool.web:create_app", "run"),
            *("--host", "0.0.0.0", "--port", str(free_port())),
        ],
    }[kind]


@pytest.mark.parametrize("kind", ["imgpool", "gunicorn", "flask"])
def test_without_a_token_it_does_not_listen_to_the_net(kind: str, tmp_path: Path) -> None:
    done = subprocess.run(
        command(kind),
        env={"PATH": os.environ["PATH"], "IMGPOOL_DATA_DIR": str(tmp_path / "data")},
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "--open-to-everybody" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data").exists(), "it was refused after it had begun"
    if kind != "flask":  # there, click says how `flask run` is used
        assert len(done.stderr.splitlines()) == 1
        assert done.stderr.startswith("imgpool: --host: '0.0.0.0' is not allowed")


@pytest.mark.parametrize(
    ("kind", "env"),
    [
        ("imgpool", {"IMGPOOL_OPEN_TO_EVERYBODY": "yes"}),
        ("gunicorn", {"IMGPOOL_TOKEN": TOKEN}),
        ("flask", {"IMGPOOL_TOKEN": TOKEN}),
    ],
)
def test_with_a_token_or_the_word_it_does(kind: str, env: dict[str, str], tmp_path: Path) -> None:
    serving = " * Running on all addresses" if kind == "flask" else "serving on "
    options = {"IMGPOOL_DATA_DIR": str(tmp_path), "IMGPOOL_WORKERS": "1", **env}
    asked = command(kind)
    with Server(tmp_path, command=asked, serving=serving, **options) as server:
        if kind == "flask":
            server.url = f"http://127.0.0.1:{asked[-1]}"
        assert ask(server, "GET", "/healthz")[0] == 200
        assert ask(server, "GET", "/api/status")[0] == (401 if "IMGPOOL_TOKEN" in env else 200)
        assert ask(server, "GET", "/healthz", Host="evil.example")[0] == 421


def test_no_secret_is_logged_and_the_key_is_nobody_elses(tmp_path: Path) -> None:
    env = {"IMGPOOL_TOKEN": TOKEN, "IMGPOOL_UPLOAD_TOKEN": UPLOAD_TOKEN}
    with Server(tmp_path / "data", *FAST, "--anonymous-uploads", **env) as server:
        for header in (f"Bearer {TOKEN}", f"Bearer {UPLOAD_TOKEN}", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN):
            ask(server, "POST", "/api/images", photo(), Authorization=header)
            ask(server, "GET", f"/nothing?token={TOKEN}", Authorization=header)
        for token in (TOKEN, UPLOAD_TOKEN, f"{TOKEN}x"):
            form = urllib.parse.urlencode({"token": token}).encode()
            ask(server, "POST", "/sign-in", form, **{"Content-Type": "application/x-www-form-urlencoded"})
        ask(server, "GET", "/", Cookie="imgpool=nonsense")
        key = (server.data_dir / "secret-key").read_text()
        arguments = [" ".join(process.cmdline()) for process in server.family()]
        server.stop()
    secrets = [TOKEN, UPLOAD_TOKEN, key]
    told = "\n".join(server.log)
    assert [each for each in secrets if each in told] == []
    assert [each for each in secrets if any(each in line for line in arguments)] == []
    guesses = [line for line in server.log if "wrong tokens" in line]
    assert len(guesses) == 1, "one line a minute, however many guesses"
    assert "127.0.0.1" in guesses[0]
    mode = (server.data_dir / "secret-key").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600
    assert stat.S_IMODE(server.data_dir.stat().st_mode) == 0o700, "originals say where they were taken"
    kept = b"".join(
        path.read_bytes() for path in server.data_dir.rglob("*") if path.is_file() and path.name != "secret-key"
    )
    assert [each for each in secrets if each.encode() in kept] == []


def test_a_refusal_for_where_it_comes_from_leaves_the_body_unread(tmp_path: Path) -> None:
    """Two headers are sent and not one byte of the body: the answer comes all the same."""
    with Server(tmp_path / "data", *FAST, IMGPOOL_TOKEN=TOKEN) as server:
        asked = [
            ("POST /api/images", "Host: 127.0.0.1\r\nSec-Fetch-Site: cross-site", 403),
            ("POST /upload", "Host: 127.0.0.1\r\nOrigin: http://evil.example", 403),
            ("POST /api/images", "Host: evil.example", 421),
            ("POST /upload", "Host: evil.example\r\nX-Forwarded-Host: 127.0.0.1", 421),
            ("POST /api/images", "Host: 127.0.0.1", 401),
            ("POST /api/images", "Host: 127.0.0.1\r\nAuthorization: Bearer wrong", 401),
            ("DELETE /api/images/" + "0" * 32, "Host: 127.0.0.1\r\nOrigin: null", 403),
            ("POST /sign-in", "Host: 127.0.0.1\r\nSec-Fetch-Site: same-site", 403),
        ]
        for line, headers, expected in asked:
            with closing(socket.create_connection(("127.0.0.1", server.port), timeout=WAIT_S)) as sock:
                sock.sendall(f"{line} HTTP/1.1\r\n{headers}\r\nContent-Length: 1000000\r\n\r\n".encode())
                answer = http.client.HTTPResponse(sock)
                answer.begin()
                assert answer.status == expected, (line, headers)
                assert answer.headers["Connection"] == "close", "who keeps it open sends the body into nothing"
                answer.read()
        told = json.loads(ask(server, "GET", "/api/status", **STEER)[1])
        assert told["refused_by"] == {"cross_site": 2, "wrong_host": 2, "unauthorized": 2}
        assert told["since_start"] == {"received": 6, "accepted": 0, "refused": 6}
        assert told["pool"]["queue"]["reserved"] == 0
        assert not list((tmp_path / "data" / "originals").iterdir())


def raw_get(server: Server, target: str) -> bytes:
    """The whole answer to a target that no client library would send as it is."""
    with closing(socket.create_connection(("127.0.0.1", server.port), timeout=WAIT_S)) as sock:
        sock.sendall(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        received = b""
        while data := sock.recv(65536):
            received += data
    return received


TRICKS = [
    "/originals/ID", "/data/originals/ID", "/api/originals/ID", "/api/images/ID/original", "/api/images/ID/ID",
    "/api/images/ID/../../originals/ID", "/api/images/ID/..%2f..%2foriginals%2fID",
    "/api/images/ID/..%252f..%252foriginals%252fID", "/api/images/ID/..\\..\\originals\\ID",
    "/api/images/ID/%2e%2e/%2e%2e/originals/ID", "/api/images/ID/....//....//originals/ID",
    "/api/images/ID/..%c0%af..%c0%aforiginals/ID", "/api/images/ID/thumb.jpg", "/api/images/ID/thumb%00",
    "/api/images/ID/.", "/api/images/ID/..", "/api/images/ID/", "/api/images/../../originals/ID",
    "/api/images/..%2foriginals%2fID", "/api/images/ID%2f..%2f..%2f..%2foriginals%2fID", "/api/images/ABSOLUTE/thumb",
    "/api/images/ID/ABSOLUTE", "/api/images/ID//ABSOLUTE", "/static/../imgpool-data/originals/ID",
    "/static/..%2f..%2foriginals%2fID", "/static/%2e%2e/%2e%2e/%2e%2e/%2e%2e/ABSOLUTE", "/static//ABSOLUTE",
    "/static/..\\..\\ABSOLUTE", "//originals/ID", "/./originals/ID", "/%6f%72%69%67%69%6e%61%6c%73/ID",
    "/images/ID/original", "/images/../originals/ID", "file://ABSOLUTE", "http://127.0.0.1/originals/ID", "/ABSOLUTE",
    "/imgpool.db", "/static/../../imgpool.db", "/data/secret-key", "/static/..%2f..%2fsecret-key",
]  # fmt: skip


def test_originals_are_never_served(tmp_path: Path) -> None:
    """The original holds a mark that no variant can have; neither it nor the database comes by any path."""
    data, mark = tmp_path / "data", b"MARK-OF-THE-ORIGINAL-0c1d"
    with Server(data, *FAST) as server:
        status, told, _ = server.upload(photo() + mark)
        assert status == 202
        image_id = told["images"][0]["id"]
        assert server.wait_until_settled()["done"] == 1
        original = data / "originals" / image_id
        assert original.read_bytes().endswith(mark)
        for trick in TRICKS:
            target = trick.replace("ABSOLUTE", str(original)).replace("ID", image_id)
            answer = raw_get(server, target)
            assert re.match(rb"HTTP/1\.1 (200|30\d|40\d) ", answer), (target, answer[:100])
            assert mark not in answer, target
            assert b"SQLite format" not in answer, target
            assert not answer.startswith(b"HTTP/1.1 200") or b"image/jpeg" not in answer, target
        thumb = raw_get(server, f"/api/images/{image_id}/thumb")
        assert b"HTTP/1.1 200" in thumb[:20]
        assert b"X-Content-Type-Options: nosniff" in thumb
        assert b"Content-Type: image/jpeg" in thumb
        assert mark not in thumb
        assert server.status_of("/healthz") == 200


def test_an_anonymous_program_keeps_its_cookie(tmp_path: Path) -> None:
    """As docs/access.md says, with curl."""
    (tmp_path / "a.jpg").write_bytes(photo())
    with Server(tmp_path / "data", *FAST, "--anonymous-uploads", IMGPOOL_TOKEN=TOKEN) as server:

        def curl(*arguments: str) -> Any:
            done = subprocess.run(
                ["curl", "-sS", *arguments], capture_output=True, text=True, timeout=WAIT_S, check=True, cwd=tmp_path
            )
            return json.loads(done.stdout)

        for _ in range(2):
            curl("--cookie-jar", "jar", "--cookie", "jar", "-F", "file=@a.jpg", f"{server.url}/api/images")
        curl("-F", "file=@a.jpg", f"{server.url}/api/images")
        assert len(curl("--cookie", "jar", f"{server.url}/api/images")["images"]) == 2
        assert len(curl(f"{server.url}/api/images")["images"]) == 0
        assert len(curl("-H", f"Authorization: Bearer {TOKEN}", f"{server.url}/api/images")["images"]) == 3
        wait_for(lambda: json.loads(ask(server, "GET", "/api/status", **STEER)[1])["counts"]["done"] == 3, "the end")

"""The real server under mutated files in mutated requests: an answer to each, and at the end books that balance."""

from __future__ import annotations

import json
import random
import socket
from contextlib import closing
from pathlib import Path

import psutil

from fuzz.targets import Broken
from serving import SAMPLES, Server

STATUSES = {200, 202, 303, 400, 408, 411, 413, 415, 422, 429, 501, 503, 507}
_EDGE = "sVkf6rT0pQ"
_NAMES = [
    "a.jpg",
    "../../etc/passwd",
    "<script>alert(1)</script>.png",
    "\u202egpj.exe",
    'a"b.jpg',
    "x" * 5000,
    "",
    "a\0b",
]


class Uploads:
    """A server with narrow limits; each call is one request on a connection of its own."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._chance = random.Random(seed)
        options = ("--workers", "1", "--job-timeout-s", "60", "--job-memory-bytes", "512MiB", "--read-timeout-s", "2")
        self._server = Server(folder / "data", *options)
        self._server.start()
        self._gunicorn = self._server.gunicorn_process()
        self._ask(b"GET /api/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        self._threads, self._descriptors = self._gunicorn.num_threads(), self._gunicorn.num_fds()
        self._answers = 0

    def __call__(self, content: bytes) -> str:
        path = self._chance.choice(("/api/images", "/api/images", "/api/images?name=a%00b.jpg", "/upload"))
        request = self._chance.choice((self._raw, self._raw, self._chunked, self._form, self._form, self._broken_form))
        answer = self._ask(request(path, content))
        head, _, body = answer.partition(b"\r\n\r\n")
        try:
            status = int(head.split(b" ", 2)[1])
        except (IndexError, ValueError):
            raise Broken(f"no HTTP answer: {answer[:80]!r}") from None
        if status not in STATUSES:
            raise Broken(f"answered {status}: {body[:200]!r}")
        if b"application/problem+json" in head and json.loads(body)["status"] != status:
            raise Broken(f"the problem is of another status: {body!r}")
        if b"<script>alert(1)" in body:
            raise Broken("a file name was shown unescaped")
        self._answers += 1
        if status == 503:
            self._server.wait_until_settled()  # else most of a run would be refusals for want of a slot
        return str(status)

    def _raw(self, path: str, content: bytes) -> bytes:
        length = len(content)
        if self._chance.random() < 0.1:
            length += self._chance.choice((-1, 1, 1000))  # it lies; the connection ends where the body does
        return self._head(path, f"Content-Length: {max(0, length)}") + content

    def _chunked(self, path: str, content: bytes) -> bytes:
        body = b""
        for at in range(0, len(content), size := self._chance.choice((1000, 65536))):
            piece = content[at : at + size]
            length = len(piece) + (self._chance.random() < 0.01)
            body += b"%x\r\n" % length + piece + b"\r\n"
        return self._head(path, "Transfer-Encoding: chunked") + body + b"0\r\n\r\n"

    def _form(self, path: str, content: bytes) -> bytes:
        body = self._parts([content, *([content[:2000]] * self._chance.choice((0, 0, 3)))])
        kind = f"Content-Type: multipart/form-data; boundary={_EDGE}"
        return self._head(path, kind, f"Content-Length: {len(body)}") + body

    def _broken_form(self, path: str, content: bytes) -> bytes:
        body = bytearray(self._parts([content[:5000]]))
        for _ in range(self._chance.choice((1, 5))):
            at = self._chance.randrange(min(300, len(body)))
            body[at : at + self._chance.choice((0, 1, 9))] = self._chance.randbytes(self._chance.choice((0, 1, 9)))
        kind = self._chance.choice((f"boundary={_EDGE}", "boundary=", "", "boundary=" + "x" * 300))
        kind = f"Content-Type: multipart/form-data; {kind}"
        return self._head(path, kind, f"Content-Length: {len(body)}") + body

    def _parts(self, contents: list[bytes]) -> bytes:
        body = b""
        for content in contents:
            field = self._chance.choice(("file", "file", "file", "other"))
            name = self._chance.choice(_NAMES)
            disposition = f'Content-Disposition: form-data; name="{field}"; filename="{name}"'
            body += f"--{_EDGE}\r\n{disposition}\r\n\r\n".encode() + content + b"\r\n"
        return body + f"--{_EDGE}--\r\n".encode()

    @staticmethod
    def _head(path: str, *lines: str) -> bytes:
        fixed = (f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close")
        return "\r\n".join((*fixed, *lines, "", "")).encode()

    def _ask(self, request: bytes) -> bytes:
        with closing(socket.create_connection(("127.0.0.1", self._server.port), timeout=120)) as sock:
            try:
                sock.sendall(request)
                sock.shutdown(socket.SHUT_WR)
            except (BrokenPipeError, ConnectionResetError):
                pass  # refused before all of it was read; the answer is there all the same
            try:
                return b"".join(iter(lambda: sock.recv(65536), b""))
            except TimeoutError:
                raise Broken("no answer within 30 s") from None
            except ConnectionResetError:
                raise Broken("a reset instead of an answer") from None

    def close(self) -> None:
        """Let it finish, check the books, the disk and the process, and stop it."""
        server = self._server
        try:
            counts = server.wait_until_settled()
            status = server.get("/api/status")
            since = status["since_start"]
            ids = {path.name for path in (server.data_dir / "originals").iterdir()}
            made = {path.name for path in (server.data_dir / "output").iterdir() if path.is_dir()}
            good = (SAMPLES / "tiny-16x16.png").read_bytes()
            checks = {
                "accepted = done + failed": counts["accepted"] == counts["done"] + counts["failed"],
                "received = accepted + refused": since["received"] == since["accepted"] + since["refused"],
                "refused_by adds up": sum(status["refused_by"].values()) == since["refused"],
                "nothing is reserved": status["pool"]["queue"]["reserved"] == 0,
                "one original for each accepted image": len(ids) == counts["accepted"],
                "originals are named by their ID": all(len(name) == 32 for name in ids),
                "variants of done images only": len(made) == counts["done"],
                "the process is the same": self._gunicorn.is_running(),
                "threads came back": self._gunicorn.num_threads() <= self._threads + 2,
                "descriptors came back": self._gunicorn.num_fds() <= self._descriptors + 8,
                "no traceback in the log": not any("Traceback" in line for line in server.log),
                "a good picture is still taken": server.upload(good)[0] == 202,
                "and done": server.wait_until_settled()["done"] == counts["done"] + 1,
            }
            wrong = [name for name, holds in checks.items() if not holds]
            resident = sum(process.memory_info().rss for process in server.family())
            print(f"server: {self._answers} answers, {counts}, {resident / 2**20:.0f} MiB in all its processes")
            if wrong:
                raise Broken(f"{'; '.join(wrong)}: {status}\n" + "\n".join(server.log[-40:]))
        except psutil.NoSuchProcess as error:
            raise Broken(f"the server died: {error}\n" + "\n".join(server.log[-40:])) from error
        finally:
            server.stop()

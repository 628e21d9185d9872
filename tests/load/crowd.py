"""A crowd of upload clients in one process: `python tests/load/crowd.py URL PHOTO --clients 1000` prints the outcome.

One selector loop over raw sockets, so that a thousand clients cost the machine little beside the server. Three kinds:

- `waits`: curl's way. Sends `Expect: 100-continue` and the body only when it is wanted.
- `regardless`: http.client's way. Sends the whole body whatever happens, and only then reads the answer.
- `begins`: a tus client's way. Asks for a slot for a resumable upload, and sends nothing.

They come all at once, or at a steady rate (`--rate`, for `--seconds`: an open loop, which does not slow down with the
server). With `--obey` a refused client comes again after its Retry-After until it is in.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import resource
import selectors
import socket
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

PIECE = 256 * 1024
GIVE_UP_S = 60.0
SENDS_IN_A_ROW = 20
BEGIN_IN_A_ROW = 10  # then answers are looked at: this process's own delay is no part of the server's


@dataclass
class Client:
    """One upload. `headers_at`: when its headers lay in the server's socket; `answer_at`: when the answer could be
    read here, so that the time between holds all of the server's part and this process's own delay.
    """

    kind: str
    sock: socket.socket
    unsent: list[memoryview]
    began_at: float
    tries: int = 1
    headers_at: float = 0.0
    answer_at: float = 0.0
    answer: bytes = b""

    @property
    def status(self) -> int:
        return int(self.answer[9:12] or 0)

    @property
    def retry_after_s(self) -> int:
        for line in self.answer.partition(b"\r\n\r\n")[0].split(b"\r\n"):
            if line.lower().startswith(b"retry-after:"):
                return int(line[12:])
        return 0


@dataclass
class Outcome:
    """What became of the crowd. Times in seconds; `by` counts answers by kind and status, and failures by name."""

    by: Counter[str] = field(default_factory=Counter)
    refusal_s: list[float] = field(default_factory=list)
    tries: Counter[int] = field(default_factory=Counter)
    began_s: float = 0.0
    took_s: float = 0.0

    def as_json(self) -> str:
        ordered = sorted(self.refusal_s)

        def rank(share: float) -> float | None:
            return round(ordered[max(0, math.ceil(share * len(ordered)) - 1)], 4) if ordered else None

        return json.dumps(
            {
                "by": dict(self.by),
                "refused": len(ordered),
                "refusal_s": {"p50": rank(0.5), "p99": rank(0.99), "max": rank(1.0)},
                "tries": {str(tries): count for tries, count in sorted(self.tries.items())},
                "all_begun_after_s": round(self.began_s, 3),
                "took_s": round(self.took_s, 3),
            }
        )


class Crowd:
    def __init__(self, url: str, photo: bytes, kinds: Sequence[str], *, obey: bool) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._kinds = kinds
        self._obey = obey
        self._photo = memoryview(photo)
        self._selector = selectors.DefaultSelector()
        self._open: set[Client] = set()
        self._later: list[tuple[float, int, str, int, float]] = []  # when, number, kind, tries, since
        self._number = 0
        self.outcome = Outcome()

    def run(self, clients: int, rate: float | None) -> Outcome:
        """All at once, or one every 1/rate seconds. Returns when each has its answer, or has waited too long."""
        began = time.monotonic()
        for number in range(clients):
            due = began + number / rate if rate else began
            heapq.heappush(self._later, (due, number, self._kinds[number % len(self._kinds)], 1, due))
        self._number = clients
        while self._open or self._later:
            now = time.monotonic()
            for _ in range(BEGIN_IN_A_ROW):
                if not self._later or self._later[0][0] > now:
                    break
                _, _, kind, tries, since = heapq.heappop(self._later)
                self._begin(kind, tries, since if tries > 1 else time.monotonic())
                if tries == 1:
                    self.outcome.began_s = time.monotonic() - began
            wait = 1.0 if not self._later else max(0.0, min(1.0, self._later[0][0] - time.monotonic()))
            ready = self._selector.select(wait)
            for key, events in ready:
                if events & selectors.EVENT_READ:
                    self._step(key.data, events & selectors.EVENT_READ)
            sending = [key.data for key, events in ready if events == selectors.EVENT_WRITE]
            for client in sending[:SENDS_IN_A_ROW]:
                self._step(client, selectors.EVENT_WRITE)
            for client in [each for each in self._open if now - each.began_at > GIVE_UP_S and not self._obey]:
                self._end(client, "timeout")
        self.outcome.took_s = time.monotonic() - began
        return self.outcome

    def _begin(self, kind: str, tries: int, since: float) -> None:
        expect = "Expect: 100-continue\r\n" if kind == "waits" else ""
        host = f"Host: {self._address[0]}:{self._address[1]}\r\n"
        if kind == "begins":
            note = "Upload-Metadata: filename Y3Jvd2QuanBn,filetype aW1hZ2UvanBlZw==\r\nContent-Length: 0\r\n"
            lines = f"Tus-Resumable: 1.0.0\r\nUpload-Length: {len(self._photo)}\r\n{note}\r\n"
            head = f"POST /api/uploads HTTP/1.1\r\n{host}{lines}".encode()
        else:
            lines = f"Content-Type: image/jpeg\r\nContent-Length: {len(self._photo)}\r\n{expect}\r\n"
            head = f"POST /api/images?name=crowd.jpg HTTP/1.1\r\n{host}{lines}".encode()
        sock = socket.socket()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.connect(self._address)  # on loopback this ends at once
        sock.sendall(head)
        sock.setblocking(False)
        body = [self._photo] if kind == "regardless" else []
        client = Client(kind, sock, body, since, tries, headers_at=time.monotonic())
        self._open.add(client)
        self._selector.register(sock, self._interest(client), client)

    def _interest(self, client: Client) -> int:
        if client.unsent:  # an answer that comes meanwhile is noted once, and read when everything is sent
            return selectors.EVENT_WRITE | (0 if client.answer_at else selectors.EVENT_READ)
        return selectors.EVENT_READ

    def _step(self, client: Client, events: int) -> None:
        try:
            if events & selectors.EVENT_READ:
                client.answer_at = client.answer_at or time.monotonic()
                if not client.unsent and self._read(client):
                    return
            if events & selectors.EVENT_WRITE and client.unsent:
                sent = client.sock.send(client.unsent[0][:PIECE])
                client.unsent[0] = client.unsent[0][sent:]
                if not client.unsent[0]:
                    client.unsent.clear()
            self._selector.modify(client.sock, self._interest(client), client)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(client, type(error).__name__)

    def _read(self, client: Client) -> bool:
        data = client.sock.recv(65536)
        client.answer += data
        if client.answer == b"HTTP/1.1 100 Continue\r\n\r\n":
            client.answer, client.answer_at, client.unsent = b"", 0.0, [self._photo]
            return False
        if data and not _complete(client.answer):
            return False
        self._end(client, None if client.status else "closed without an answer")
        return True

    def _end(self, client: Client, failure: str | None) -> None:
        self._selector.unregister(client.sock)
        client.sock.close()
        self._open.discard(client)
        self.outcome.by[f"{client.kind} {failure or client.status}"] += 1
        if client.status in (429, 503):
            self.outcome.refusal_s.append(client.answer_at - client.headers_at)
            if self._obey and client.tries < 100:
                self._number += 1
                due = time.monotonic() + client.retry_after_s
                heapq.heappush(self._later, (due, self._number, client.kind, client.tries + 1, client.began_at))
        elif client.status == 202:
            self.outcome.tries[client.tries] += 1

    __hash__ = object.__hash__


def _complete(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        return False
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            return len(body) >= int(line[15:])
    return False


Client.__hash__ = object.__hash__  # type: ignore[method-assign]  # by identity


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("photo", type=Path)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--kinds", default="waits,regardless")
    parser.add_argument("--rate", type=float, help="uploads begun per second; without it all at once")
    parser.add_argument("--obey", action="store_true", help="come again after Retry-After")
    given = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    crowd = Crowd(given.url, given.photo.read_bytes(), given.kinds.split(","), obey=given.obey)
    sys.stdout.write(crowd.run(given.clients, given.rate).as_json() + "\n")


if __name__ == "__main__":
    main()

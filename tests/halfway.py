"""A network between client and server that stops in the middle of an upload, at the byte where the test wants it."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

WAIT_S = 120.0


class Halfway:
    """Listens at `url` and passes everything on to `port`, until `after` bytes have come from the clients: then
    `reached` is set, nothing moves, and nobody gets through until `cut`, which ends that connection. What connects
    later passes.
    """

    def __init__(self, port: int, after: int) -> None:
        self._port, self._left = port, after
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.reached, self._cut = threading.Event(), threading.Event()
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cut.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(WAIT_S)
        for each in (self._listener, *self._sockets):
            each.close()

    def cut(self) -> None:
        """End the connection that stands."""
        self._cut.set()

    def _start(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.append(client)
            if self.reached.is_set() and not self._cut.is_set():
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self._port), WAIT_S)
            except OSError:  # the server is down: so is the network
                client.close()
                continue
            server.settimeout(None)
            self._sockets.append(server)
            self._start(self._pass, client, server, True)
            self._start(self._pass, server, client, False)

    def _pass(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if counted and not self.reached.is_set():
                    self._left -= len(data)
                    target.sendall(data)
                    if self._left > 0:
                        continue
                    self.reached.set()
                    self._cut.wait(WAIT_S)
                    break
                target.sendall(data)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

"""A way to a server that can be cut at the worst moment: after it did what it was asked for, before it could say so."""

from __future__ import annotations

import select
import socket
import threading


class CuttingProxy:
    """Passes connections at `port` on to a server on loopback. After `cut_after(marker)`, the first answer to a
    question with that marker in it is thrown away, and its connection ends; with `then_away`, no other can be made
    until `back`.
    """

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.cuts = 0
        self._marker: bytes | None = None
        self._then_away = self._away = False
        self._ended = False
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def cut_after(self, marker: bytes, *, then_away: bool = False) -> None:
        self._then_away = then_away
        self._marker = marker

    def back(self) -> None:
        self._away = False

    def close(self) -> None:
        self._ended = True
        for thread in self._threads:
            thread.join(60)
        self._listener.close()

    def _accept(self) -> None:
        while not self._ended:
            if select.select([self._listener], [], [], 0.05)[0]:
                client, _ = self._listener.accept()
                if self._away:
                    client.close()
                    continue
                thread = threading.Thread(target=self._serve, args=(client,))
                self._threads.append(thread)
                thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._server_port)) as server:
            doomed = False
            while not self._ended:
                for readable in select.select([client, server], [], [], 0.05)[0]:
                    try:
                        data = readable.recv(65536)
                    except OSError:
                        return
                    if not data or (readable is server and doomed):
                        return
                    if readable is client and self._marker is not None and self._marker in data:
                        self._marker, doomed, self._away = None, True, self._then_away
                        self.cuts += 1
                    (server if readable is client else client).sendall(data)

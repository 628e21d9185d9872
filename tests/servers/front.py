"""A front before a server on loopback, as a load balancer may be, with TLS or without: it notes what clients send."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from contextlib import suppress
from pathlib import Path


class Front:
    """Passes connections at `port` on to a server, until the block ends; `sent` is what all clients sent. With `tls`, a
    directory, it speaks TLS, with a certificate that is there as `certificate`.
    """

    def __init__(self, server_port: int, tls: Path | None = None) -> None:
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.sent = b""
        self._context: ssl.SSLContext | None = None
        if tls is not None:
            self.certificate = tls / "certificate.pem"
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=front", "-days", "2",
                 "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", tls / "key.pem", "-out", self.certificate],
                check=True, capture_output=True, timeout=30,
            )  # fmt: skip
            self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self._context.load_cert_chain(self.certificate, tls / "key.pem")
        self._threads = [threading.Thread(target=self._accept)]
        self._open: list[socket.socket] = []

    def __enter__(self) -> Front:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self._listener, *self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for each in (self._listener, *self._open):
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):  # it is over
            while True:
                client, _ = self._listener.accept()
                if self._context is not None:
                    client = self._context.wrap_socket(client, server_side=True)
                server = socket.create_connection(("127.0.0.1", self._server_port))
                self._open += [client, server]
                for pair in ((client, server), (server, client)):
                    self._threads.append(threading.Thread(target=self._pass, args=pair))
                    self._threads[-1].start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if source.getsockname()[1] == self.port:
                    self.sent += data
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

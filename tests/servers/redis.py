"""A real Redis as a Celery broker, on loopback and a free port, that keeps nothing on disk and ends with its test."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from servers.ports import free_port

START_S = 120.0


def answers(port: int, request: bytes, expected: bytes) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.settimeout(1)
            connection.sendall(request)
            return connection.recv(64).startswith(expected)
    except OSError:
        return False


class Redis:
    """`with Redis(directory) as redis:` listens at `redis.url` until the block ends; `kill` and `start` in between."""

    def __init__(self, directory: Path) -> None:
        if shutil.which("redis-server") is None:
            pytest.skip("redis-server is not installed")
        self._directory = directory
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self) -> Redis:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.thaw()
            self.process.terminate()
        self.process.wait(START_S)

    def start(self) -> None:
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
            cwd=self._directory,
            stdout=subprocess.DEVNULL,
        )
        limit = time.monotonic() + START_S
        while not answers(self.port, b"PING\r\n", b"+PONG"):
            assert self.process.poll() is None, "redis-server ended at its start"
            assert time.monotonic() < limit, "redis-server did not start in time"
            time.sleep(0.02)

    def kill(self) -> None:
        """`kill -9`: all messages are lost, as nothing is on disk."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(START_S)

    def freeze(self) -> None:
        """Connections are taken, and nothing is ever answered, until `thaw`."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def forget_all(self) -> None:
        """All messages are lost, and the server lives."""
        assert answers(self.port, b"FLUSHALL\r\n", b"+OK")

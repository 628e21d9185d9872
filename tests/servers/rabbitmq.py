"""A real RabbitMQ as a Celery broker, on loopback and free ports, ended by its own process ids."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from servers.ports import free_port
from servers.redis import answers

START_S = 120.0
# Debian's wrapper wants a service user; the program itself is content with directories of its own.
PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


class RabbitMQ:
    """`with RabbitMQ(directory) as rabbitmq:` listens at `rabbitmq.url` until the block ends."""

    def __init__(self, directory: Path) -> None:
        if not PROGRAM.exists() or shutil.which("erl") is None:
            pytest.skip("rabbitmq-server is not installed")
        self._directory = directory
        self.port, distribution = free_port(), free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}//"
        config = directory / "rabbitmq.conf"
        config.write_text(f"listeners.tcp.1 = 127.0.0.1:{self.port}\nlog.console = false\n")
        (directory / "plugins").write_text("[].\n")
        self._env = {
            **os.environ,
            "HOME": str(directory),  # where the cookie is
            "RABBITMQ_NODENAME": f"imgpool-{self.port}@localhost",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_CONFIG_FILE": str(config),
            "RABBITMQ_MNESIA_BASE": str(directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(directory / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "plugins"),
            "RABBITMQ_PID_FILE": str(directory / "pid"),
            "ERL_EPMD_PORT": str(free_port()),  # a port mapper of its own, that can be ended with the node
        }

    def __enter__(self) -> RabbitMQ:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [str(PROGRAM)], env=self._env, stdout=subprocess.DEVNULL, start_new_session=True
        )
        limit = time.monotonic() + START_S
        while not answers(self.port, b"AMQP\x00\x00\x09\x01", b"\x01"):
            assert self.process.poll() is None, "rabbitmq-server ended at its start"
            assert time.monotonic() < limit, "rabbitmq-server did not start in time"
            time.sleep(0.05)

    def kill(self) -> None:
        """`kill -9` of the node and all that it started."""
        with suppress(psutil.NoSuchProcess):
            family = [*psutil.Process(self.process.pid).children(recursive=True), psutil.Process(self.process.pid)]
            for process in family:
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGKILL)
            psutil.wait_procs(family, timeout=START_S)
        self.process.wait(START_S)
        subprocess.run(["epmd", "-kill"], env=self._env, check=False, stdout=subprocess.DEVNULL, timeout=START_S)

"""A real PgBouncer before the tests' PostgreSQL, with the settings of docs/deploy, on loopback and a free port."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from servers.ports import free_port
from servers.postgresql import PASSWORD, PostgreSQL
from servers.standing import STANDING
from serving import wait_for

START_S = 120.0
PROGRAM = Path("/usr/sbin/pgbouncer")
DEPLOYED = Path(__file__).parents[2] / "docs" / "deploy" / "pgbouncer.ini"


class PgBouncer:
    """Pools connections to `postgresql` from `start` to `remove`; `kill` and `start` in between. `most` is how many
    connections it makes to the server for each of its databases.
    """

    def __init__(self, postgresql: PostgreSQL, *, most: int = 4) -> None:
        if not PROGRAM.exists():
            pytest.skip("PgBouncer is not installed (Debian's package: pgbouncer)")
        self._postgresql = postgresql
        self._most = most
        self.port = free_port()
        self._schemas: dict[str, str] = {}  # and what is left out of their settings
        # It does not run as root, either: see PostgreSQL.
        self._account: dict[str, str] = {"user": "postgres", "group": "postgres"} if os.getuid() == 0 else {}
        self._directory = Path(tempfile.mkdtemp(prefix="imgpool-pgbouncer-"))
        self._process: subprocess.Popen[bytes] | None = None
        (self._directory / "userlist.txt").write_text(f'"imgpool" "{PASSWORD}"\n')
        if self._account:
            for path in (self._directory, self._directory / "userlist.txt"):
                shutil.chown(path, "postgres", "postgres")

    def _configure(self) -> None:
        """The deployed settings, with this machine's addresses, and a database for each schema of a test."""
        text = DEPLOYED.read_text()
        here = {
            "listen_addr": "127.0.0.1",
            "listen_port": self.port,
            "auth_file": self._directory / "userlist.txt",
            "default_pool_size": self._most,
        }
        for name, value in here.items():
            text, found = re.subn(rf"(?m)^{name} = .*$", f"{name} = {value}", text)
            assert found == 1, name
        (entry,) = re.findall(r"(?m)^imgpool = .*$", text)
        there = f"port={self._postgresql.port} dbname=postgres"
        entries = [
            entry.replace("imgpool = ", f"{name} = ", 1)
            .replace("host=postgres.internal", "host=127.0.0.1")
            .replace("port=5432 dbname=imgpool", there)
            .replace("connect_query='", f"connect_query='SET search_path = {name}; ")
            .replace(without, "")
            for name, without in self._schemas.items()
        ]
        text = text.replace(entry, "\n".join(entries))
        text += f"\nlogfile = {self._directory / 'log'}\nunix_socket_dir =\n"
        aside = self._directory / "pgbouncer.ini.new"
        aside.write_text(text)
        aside.replace(self._directory / "pgbouncer.ini")  # which it may just be reading

    def start(self) -> None:
        self._configure()
        command = [PROGRAM, "-q", self._directory / "pgbouncer.ini"]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL, **self._account)  # type: ignore[call-overload]
        STANDING.add(self._process.pid)
        # Not before it listens does it know what SIGHUP means, and that does not end it.
        wait_for(self._listens, "PgBouncer to listen", START_S)
        for name in self._schemas:
            self._wait_for(name)

    def _listens(self) -> bool:
        with socket.socket() as trial:
            return trial.connect_ex(("127.0.0.1", self.port)) == 0

    def _wait_for(self, name: str) -> None:
        limit = time.monotonic() + START_S
        while True:
            try:
                psycopg.connect(self.url(name), connect_timeout=2).close()
                return
            except psycopg.OperationalError as error:
                assert self._process is not None
                if self._process.poll() is not None or time.monotonic() > limit:
                    log = (self._directory / "log").read_text() if (self._directory / "log").exists() else ""
                    pytest.fail(f"PgBouncer did not start: {error}\n{log[-3000:]}")
                time.sleep(0.02)

    def url(self, name: str) -> str:
        return f"postgresql://imgpool:pass%20word%2F1@127.0.0.1:{self.port}/{name}"

    @contextmanager
    def database(self, direct_url: str, *, without: str = "") -> Iterator[str]:
        """The way through it to the tables of `PostgreSQL.database`; `without` is taken out of its settings."""
        name = direct_url.rpartition("%3D")[2]
        self._schemas[name] = without
        self._reload(name)
        yield self.url(name)
        del self._schemas[name]
        self._reload()

    def _reload(self, name: str | None = None) -> None:
        assert self._process is not None
        self._configure()
        self._process.send_signal(signal.SIGHUP)
        if name:
            self._wait_for(name)

    def kill(self) -> None:
        """`kill -9`: all connections through it are cut."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(START_S)
            STANDING.discard(self._process.pid)
            self._process = None

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self._directory)


@pytest.fixture(scope="session")
def pgbouncer(postgresql: PostgreSQL) -> Iterator[PgBouncer]:
    """One for all tests."""
    server = PgBouncer(postgresql)
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def pooled_url(pgbouncer: PgBouncer, database_url: str) -> Iterator[str]:
    """Tables that no other test uses, through PgBouncer."""
    with pgbouncer.database(database_url) as url:
        yield url

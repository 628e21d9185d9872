"""A real PostgreSQL on loopback, started by the tests from the packages of the system, and ended by its pid."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from servers.ports import free_port
from servers.standing import STANDING
from serving import lives, wait_for

START_S = 120.0
PASSWORD = "pass word/1"  # of a server that lives as long as the tests; has to be quoted in a URL


def programs() -> Path | None:
    """Where `initdb` and `postgres` are: Debian puts them beside the path, one directory for each version."""
    found = shutil.which("postgres")
    if found:
        return Path(found).parent
    return max(Path("/usr/lib/postgresql").glob("*/bin"), default=None, key=lambda path: int(path.parent.name))


class PostgreSQL:
    """A server in a temporary directory. `stop`, `kill` and `start` may follow each other; the data stays.

    `fsync` is for measurements: no test cuts the power, and what a killed server has written, the kernel has.
    """

    def __init__(self, bin_directory: Path, *, fsync: bool = False) -> None:
        self._fsync = "on" if fsync else "off"
        self._bin = bin_directory
        # PostgreSQL does not run as root. Its directory cannot be below pytest's, which only root may enter.
        self._account: dict[str, str] = {"user": "postgres", "group": "postgres"} if os.getuid() == 0 else {}
        self._directory = Path(tempfile.mkdtemp(prefix="imgpool-postgresql-"))
        if self._account:
            shutil.chown(self._directory, "postgres", "postgres")
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        password = self._directory / "password"
        password.write_text(PASSWORD)
        if self._account:
            shutil.chown(password, "postgres", "postgres")
        secret = ("--auth=scram-sha-256", "--username=imgpool", f"--pwfile={password}")
        place = ("--encoding=UTF8", "--locale=C", f"--pgdata={self._directory / 'data'}")
        subprocess.run(
            [bin_directory / "initdb", "--no-sync", "--no-instructions", *secret, *place],
            cwd=self._directory,
            check=True,
            capture_output=True,
            timeout=START_S,
            **self._account,
        )  # type: ignore[call-overload]

    def url(self, database: str) -> str:
        return f"postgresql://imgpool:pass%20word%2F1@127.0.0.1:{self.port}/{database}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it answers."""
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "shared_buffers": "64MB",
            "max_connections": 200,
            "fsync": self._fsync,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._bin / "postgres", "-D", self._directory / "data", *options],
                stdout=log, stderr=log, cwd=self._directory, start_new_session=True, **self._account,
            )  # type: ignore[call-overload]  # fmt: skip
        STANDING.add(self.pid)
        limit = time.monotonic() + START_S
        while True:
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > limit:
                    pytest.fail(f"PostgreSQL did not start:\n{(self._directory / 'log').read_text()[-3000:]}")
                time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT cuts all connections (`-m fast`), SIGQUIT does not even write its memory (`-m immediate`)."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(how)
            self._ended()

    def freeze(self) -> None:
        """Have it, and all that serve its connections, do nothing until `thaw`."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal_all(signal.SIGCONT)

    def kill(self) -> None:
        """Kill it with all that belongs to it, as a machine that loses power; what the kernel has, stays."""
        family = self._signal_all(signal.SIGKILL)
        self._ended()
        # Its memory is in use until the last of them is gone, and no other server can start until then.
        wait_for(lambda: not any(lives(process) for process in family), "the end of PostgreSQL", START_S)

    def _ended(self) -> None:
        assert self._process is not None
        self._process.wait(START_S)
        STANDING.discard(self.pid)
        self._process = None

    def _signal_all(self, number: signal.Signals) -> list[psutil.Process]:
        """To it, and to all that serve its connections."""
        server = psutil.Process(self.pid)
        server.suspend()  # so that none is missed that begins in this moment
        wait_for(lambda: server.status() == psutil.STATUS_STOPPED, "PostgreSQL to stand still", START_S)
        # Its backends lead process groups of their own, hence one by one.
        family = [server, *server.children(recursive=True)]
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        return family

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self._directory)

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of tables of their own: a schema in the one database, since a database takes a second to make."""
        name = f"test_{uuid.uuid4().hex}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as admin:
            admin.execute(f"CREATE SCHEMA {name}")  # type: ignore[arg-type]
        yield f"{self.url('postgres')}?options=-csearch_path%3D{name}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as admin:
            admin.execute(f"DROP SCHEMA {name} CASCADE")  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """One server for all tests; who stops it has to start it again."""
    found = programs()
    if found is None:
        pytest.skip("PostgreSQL is not installed (Debian's package: postgresql)")
    server = PostgreSQL(found)
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def database_url(postgresql: PostgreSQL) -> Iterator[str]:
    """Tables that no other test uses."""
    with postgresql.database() as url:
        yield url

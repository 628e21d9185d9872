"""The connections of one process to PostgreSQL, and how long anybody waits for them.

Owns the connection pool. Turns whatever goes wrong into `StoreError` within a few seconds: a database that is gone,
restarts, hangs or is slow must cost refusals, and never threads that pile up behind it. Knows no tables.
Must be opened after the last fork: connections cannot be shared between processes.
"""

from __future__ import annotations

import logging
import select
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, LiteralString, Self, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import ConnectionPool, PoolTimeout

from imgpool.errors import SettingError
from imgpool.scaleout.schema import bring_up_to_date
from imgpool.service.records import StoreError, StoreFull

log = logging.getLogger(__name__)
# It would tell of each attempt of each connection for as long as a database is away; we say it once.
logging.getLogger("psycopg.pool").setLevel(logging.ERROR)

CONNECTIONS = 8  # of one process at most; a change takes it a few milliseconds
CONNECT_S = 2.0  # to connect, and to wait for one of the connections
STATEMENT_S = 2.0  # after which the server itself gives a statement up, with the locks that it holds
ANSWER_S = 2.5  # after which we do, for a server that is frozen or unplugged and cannot say anything
AWAY_S = 0.5  # how long nobody asks again after a database did not answer

T = TypeVar("T")


class ConnectionLost(StoreError):
    """The connection broke while a statement was under way: nobody knows whether it was done."""


class NotUnique(StoreError):
    """There is such a row already."""


class Database:
    """PostgreSQL at `url`, a `postgresql://` address. Between `open` and `close` any thread may call any method;
    each blocks for about `CONNECT_S` + `ANSWER_S` at most and raises `StoreError` when the database cannot do it.
    """

    def __init__(self, url: str, *, connections: int = CONNECTIONS) -> None:
        self._url = url
        self._connections = connections
        self._pool: ConnectionPool[_Patient] | None = None
        # Written without a lock: at worst one request waits, or the log says it twice.
        self._away = False
        self._away_until = 0.0  # by the monotonic clock
        self._answers_since = 0.0

    def open(self) -> None:
        """Connect, and make or complete the tables: of many processes that start at once, one does it. Raises
        `StoreError`, or `SettingError` for a URL that PostgreSQL does not take.
        """
        try:
            parameters = conninfo_to_dict(self._url)
        except psycopg.Error:  # whose text may be the whole URL, or the password in it
            raise SettingError(
                "--database: (not shown) is not allowed; allowed: a URL as postgresql://USER:PASSWORD@HOST/DATABASE, "
                "in which %, @, / and the like in a name or password are written as %25, %40, %2F"
            ) from None
        try:
            with psycopg.connect(self._url, autocommit=True, connect_timeout=int(CONNECT_S)) as connection:
                bring_up_to_date(connection)
        except psycopg.Error as error:
            raise StoreError(f"the database cannot be used: {_told(error)}") from error
        self._pool = pool = ConnectionPool(
            self._url,
            connection_class=_Patient,
            kwargs={
                "autocommit": True,
                "connect_timeout": int(CONNECT_S),
                "keepalives_idle": 5,
                "keepalives_interval": 2,
                "keepalives_count": 3,
                "options": f"{parameters.get('options') or ''} -c statement_timeout={STATEMENT_S:g}s "
                f"-c lock_timeout={STATEMENT_S:g}s -c idle_in_transaction_session_timeout={ANSWER_S:g}s "
                r"-c default_transaction_isolation=read\ committed",
            },
            name="imgpool-database",
            min_size=1,
            max_size=self._connections,
            timeout=CONNECT_S,
            # The pool would try again after 1, 2, 4, 8, ... s and be away for longer than the database was. It is to
            # give up at once instead; then whoever comes next makes it connect.
            reconnect_timeout=0.0,
            check=lambda connection: _check(pool, connection),
            open=False,
        )
        try:
            self._pool.open(wait=True, timeout=CONNECT_S + STATEMENT_S)
        except PoolTimeout as error:
            raise StoreError(f"the database cannot be used: {_told(_Patient.refused or error)}") from error
        self._answers_since = time.monotonic()

    def close(self) -> None:
        """Let go of the connections; idempotent. What others are still doing with theirs is finished."""
        if self._pool is not None:
            self._pool.close()

    def rows(self, sql: LiteralString, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """What one statement answers; it is its own transaction."""
        with self.connection() as connection:
            return connection.execute(sql, values).fetchall()

    def change(self, sql: LiteralString, values: Sequence[Any] = ()) -> int:
        """Do one statement, which is its own transaction; returns how many rows it changed."""
        with self.connection() as connection:
            return connection.execute(sql, values).rowcount

    def _noticed(self, error: psycopg.Error) -> None:
        if not self._away:
            log.error("the database is away: %s", _told(error))
        self._away = True

    def answers_for_s(self) -> float:
        """For how long it has answered, as far as was noticed here; 0 while it is away. Blocks on nothing."""
        return 0.0 if self._away else time.monotonic() - self._answers_since

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        """One connection, in autocommit mode (`connection.transaction()` for more than one statement)."""
        if self._pool is None:
            raise StoreError("the database is not open")
        if time.monotonic() < self._away_until:
            raise StoreError("the database does not answer")
        try:
            with self._pool.connection() as connection:
                try:
                    yield connection
                except psycopg.OperationalError as error:
                    if connection.closed:
                        self._noticed(error)
                        raise ConnectionLost(f"the database does not answer: {_told(error)}") from error
                    raise
        except psycopg.errors.UniqueViolation as error:
            raise NotUnique(_told(error)) from error
        except psycopg.errors.DiskFull as error:
            raise StoreFull(f"the database failed: {_told(error)}") from error
        except psycopg.Error as error:
            if isinstance(error, PoolTimeout) and _Patient.refused is not None:
                error = _Patient.refused  # why there was no connection
            if isinstance(error, psycopg.OperationalError) and error.sqlstate is None:
                self._away_until = time.monotonic() + AWAY_S
                self._noticed(error)
            raise StoreError(f"the database failed: {_told(error)}") from error
        if self._away:
            log.warning("the database is back")
            self._answers_since = time.monotonic()
            self._away = False


class _Patient(psycopg.Connection[tuple[Any, ...]]):
    """A connection that waits `ANSWER_S` for an answer, not for ever: a frozen server never says anything."""

    refused: psycopg.OperationalError | None = None  # why this process' last attempt to connect failed

    @classmethod
    def connect(cls, *args: Any, **kwargs: Any) -> Self:
        try:
            connection = super().connect(*args, **kwargs)
        except psycopg.OperationalError as error:
            _Patient.refused = error
            raise
        _Patient.refused = None
        return connection

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        try:
            return super().wait(gen, interval, ANSWER_S if timeout is None else timeout)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == psycopg.pq.TransactionStatus.ACTIVE:
                self.close()  # the answer may still come, and must not be taken for that to the next question
            raise


def _check(pool: ConnectionPool[_Patient], connection: _Patient) -> None:
    """Refuse a connection that was cut while it was idle: no question is due, so anything to read is its end.

    The others were cut by the same restart; each would cost somebody an error, or the pool a second.
    """
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if poll.poll(0):
        connection.close()
        pool.drain()
        raise psycopg.OperationalError("the connection was cut")


def once_more(action: Callable[[], T], again: Callable[[], T]) -> T:
    """Do the action; if the connection broke meanwhile, so that nobody knows whether it was done, do `again` over
    another one: it has to find out.
    """
    try:
        return action()
    except ConnectionLost:
        return again()


def _told(error: psycopg.Error) -> str:
    """Its first line. Without a password: only what says that a URL is none has one, and `open` does not show that."""
    return (str(error) or type(error).__name__).splitlines()[0]

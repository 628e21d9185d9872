"""The connections of one process to PostgreSQL, and how long anybody waits for them.

Owns the connection pool. Turns whatever goes wrong into `StoreError` within a few seconds: a database that is gone,
restarts, hangs or is slow must cost refusals, and never threads that pile up behind it. One that has more to do than it
can is not away, and is not said to be. Knows no tables.
Must be opened after the last fork: connections cannot be shared between processes.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import ConnectionPool, PoolTimeout

from imgpool.errors import SettingError
from imgpool.scaleout.connections import CONNECT_S, STATEMENT_S, Patient, check_limits, is_pooled, make_pool
from imgpool.scaleout.schema import bring_up_to_date
from imgpool.service.records import StoreBusy, StoreError, StoreFull

log = logging.getLogger(__name__)

CONNECTIONS = 8  # of one process at most; a change takes it a few milliseconds
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
        self._pool: ConnectionPool[Patient] | None = None
        self._lock = threading.Lock()  # of changes of all that follows but the trial
        self._in_hand = 0  # connections that somebody uses
        self._away = False
        self._away_until = 0.0  # by the monotonic clock; 0: a connection can be had, as far as is known
        self._answers_since = 0.0
        self._trial = threading.Lock()  # held by whoever finds out whether it is back

    def open(self) -> None:
        """Connect, and make or complete the tables: of many processes that start at once, one does it. Raises
        `StoreError`, or `SettingError` for a URL that PostgreSQL does not take.
        """
        try:
            conninfo_to_dict(self._url)
        except psycopg.Error:  # whose text may be the whole URL, or the password in it
            raise SettingError(
                "--database: (not shown) is not allowed; allowed: a URL as postgresql://USER:PASSWORD@HOST/DATABASE, "
                "in which %, @, / and the like in a name or password are written as %25, %40, %2F"
            ) from None
        try:
            with psycopg.connect(self._url, autocommit=True, connect_timeout=int(CONNECT_S)) as connection:
                bring_up_to_date(connection)
                pooled = is_pooled(connection)
                if pooled:
                    check_limits(connection)
        except psycopg.Error as error:
            raise StoreError(f"the database cannot be used: {_told(error)}") from error
        self._pool = make_pool(self._url, self._connections, pooled=pooled)
        try:
            self._pool.open(wait=True, timeout=CONNECT_S + STATEMENT_S)
        except PoolTimeout as error:
            raise StoreError(f"the database cannot be used: {_told(Patient.refused or error)}") from error
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

    def answers_for_s(self) -> float:
        """For how long it has answered, as far as was noticed here; 0 while it is away. Blocks on nothing."""
        return 0.0 if self._away else time.monotonic() - self._answers_since

    @property
    def refuses(self) -> bool:
        """Whether it is away, as far as is known, and nobody else is to find out now. Blocks on nothing."""
        return self._away_until > 0 and (time.monotonic() < self._away_until or self._trial.locked())

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        """One connection, in autocommit mode (`connection.transaction()` for more than one statement)."""
        with self._turn(), self._errors_told(), self._connected() as connection:
            try:
                yield connection
            except psycopg.OperationalError as error:
                if connection.closed:
                    self._noticed(error)
                    raise ConnectionLost(f"the database does not answer: {_told(error)}") from error
                raise
        if self._away:
            self._is_back()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """While it is away, one at a time finds out whether it is back; all others are refused at once."""
        if not self._away_until:
            yield
            return
        if time.monotonic() < self._away_until or not self._trial.acquire(blocking=False):
            raise StoreError("the database does not answer")
        try:
            yield
        finally:
            self._trial.release()

    @contextmanager
    def _connected(self) -> Iterator[Patient]:
        if self._pool is None:
            raise StoreError("the database is not open")
        if self._away_until:  # a server that refuses says so at once, and the pool waits all the same
            Patient.connect(self._url, connect_timeout=int(CONNECT_S)).close()
        with self._pool.connection() as connection:
            with self._lock:
                self._in_hand += 1
            try:
                yield connection
            finally:
                with self._lock:
                    self._in_hand -= 1

    @contextmanager
    def _errors_told(self) -> Iterator[None]:
        try:
            yield
        except psycopg.errors.UniqueViolation as error:
            raise NotUnique(_told(error)) from error
        except psycopg.errors.DiskFull as error:
            raise StoreFull(f"the database failed: {_told(error)}") from error
        except psycopg.Error as error:
            if isinstance(error, PoolTimeout):
                if self._in_hand:  # by others, to whom it answers, or who will notice that it does not
                    raise StoreBusy(
                        f"the database has much to do: for {CONNECT_S:g} s none of its connections from here was free"
                    ) from error
                error = Patient.refused or error  # why there was no connection
            if isinstance(error, psycopg.OperationalError) and error.sqlstate is None:
                self._noticed(error, nobody_asks_for_s=AWAY_S)
            raise StoreError(f"the database failed: {_told(error)}") from error

    def _noticed(self, error: psycopg.Error, *, nobody_asks_for_s: float = 0.0) -> None:
        with self._lock:
            told, self._away = self._away, True
            if nobody_asks_for_s:
                self._away_until = time.monotonic() + nobody_asks_for_s
        if not told:
            log.error("the database is away: %s", _told(error))

    def _is_back(self) -> None:
        # In one step: one that is not away, and asked by one at a time all the same, would stay so.
        with self._lock:
            told, self._away = not self._away, False
            if told:
                return
            self._away_until = 0.0
            self._answers_since = time.monotonic()
        log.warning("the database is back")


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

"""How a process connects to PostgreSQL, directly or through a pooler as PgBouncer, and what each connection promises:
an answer, or an error, within seconds.

The server itself gives up a statement, a lock or a forgotten transaction, so that what we gave up does not go on there.
We ask for that when we connect; a pooler shares its connections to the server and takes no such wish, so there it has
to be the pooler's (`connect_query`), and is looked at.
"""

from __future__ import annotations

import logging
import select
from typing import Any, Self, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import ConnectionPool

from imgpool.errors import SettingError

# It would tell of each attempt of each connection for as long as a database is away; `database` says it once.
logging.getLogger("psycopg.pool").setLevel(logging.ERROR)

CONNECT_S = 2.0  # to connect, and to wait for one of the connections
STATEMENT_S = 2.0  # after which the server itself gives a statement up, with the locks that it holds
ANSWER_S = 2.5  # after which we do, for a server that is frozen or unplugged and cannot say anything
LIMITS_MS = {
    "statement_timeout": int(STATEMENT_S * 1000),
    "lock_timeout": int(STATEMENT_S * 1000),
    "idle_in_transaction_session_timeout": int(ANSWER_S * 1000),
}

T = TypeVar("T")


class Patient(psycopg.Connection[tuple[Any, ...]]):
    """A connection that waits `ANSWER_S` for an answer, not for ever: a frozen server never says anything."""

    refused: psycopg.OperationalError | None = None  # why this process' last attempt to connect failed

    @classmethod
    def connect(cls, *args: Any, **kwargs: Any) -> Self:
        """As psycopg's."""
        try:
            connection = super().connect(*args, **kwargs)
        except psycopg.OperationalError as error:
            Patient.refused = error
            raise
        Patient.refused = None
        return connection

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """Called by psycopg for each answer; closes a connection whose answer did not come in time."""
        try:
            return super().wait(gen, interval, ANSWER_S if timeout is None else timeout)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == psycopg.pq.TransactionStatus.ACTIVE:
                self.close()  # the answer may still come, and must not be taken for that to the next question
            raise


def is_pooled(connection: psycopg.Connection[tuple[Any, ...]]) -> bool:
    """Whether something between shares connections to the server: then the one that answers is not the one that we
    were told of when we connected.
    """
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    return row != (connection.info.backend_pid,)


def make_pool(url: str, most: int, *, pooled: bool) -> ConnectionPool[Patient]:
    """A pool that is not open yet, of connections in autocommit mode."""
    asked: dict[str, Any] = {"autocommit": True, "connect_timeout": int(CONNECT_S)}
    asked |= {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3}
    if pooled:
        asked["prepare_threshold"] = None  # another connection would not know what was prepared on this one
    else:
        wishes = [*(f"-c {name}={limit}ms" for name, limit in LIMITS_MS.items())]
        wishes.append(r"-c default_transaction_isolation=read\ committed")
        asked["options"] = " ".join([str(conninfo_to_dict(url).get("options") or ""), *wishes])
    pool: ConnectionPool[Patient] = ConnectionPool(
        url,
        connection_class=Patient,
        kwargs=asked,
        name="imgpool-database",
        min_size=1,
        max_size=most,
        timeout=CONNECT_S,
        # The pool would try again after 1, 2, 4, 8, ... s and be away for longer than the database was. It is to
        # give up at once instead; then whoever comes next makes it connect.
        reconnect_timeout=0.0,
        check=lambda connection: _check(pool, connection),
        open=False,
    )
    return pool


def check_limits(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    """Raise `SettingError` when the server would not give up in time, or isolates transactions in another way than
    imgpool's statements are written for.
    """
    rows = connection.execute("SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", ([*LIMITS_MS],))
    found = {str(name): int(setting) for name, setting in rows.fetchall()}
    wrong = [f"{name}={limit}" for name, limit in LIMITS_MS.items() if not 0 < found.get(name, 0) <= limit]
    row = connection.execute("SHOW default_transaction_isolation").fetchone()
    if row != ("read committed",):
        wrong.append("default_transaction_isolation='read committed'")
    if wrong:
        raise SettingError(
            "--database: there is a pooler before PostgreSQL, on whose connections a statement may take for ever; "
            f"have it set for each of them: {', '.join(wrong)} (docs/deploy/pgbouncer.ini shows how)"
        )


def _check(pool: ConnectionPool[Patient], connection: Patient) -> None:
    """Refuse a connection that was cut while it was idle: no question is due, so anything to read is its end.

    The others were cut by the same restart; each would cost somebody an error, or the pool a second.
    """
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if poll.poll(0):
        connection.close()
        pool.drain()
        raise psycopg.OperationalError("the connection was cut")

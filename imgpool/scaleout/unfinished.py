"""Which uploads are unfinished, for all hosts: one row for each, in PostgreSQL.

A row says how many bytes are stored, in which pieces, and the number of the turn that may store more. Whoever goes on
with an upload takes the next number; from then on nothing that an older turn says changes the row, whichever host it
is on, and whatever it still believes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from imgpool.scaleout.database import Database
from imgpool.scaleout.rows import text
from imgpool.service.resumable_files import Facts

_LOCK = 0x756E66696E  # "unfin": so that two hosts do not both see the last place free

_ROW = "id, length, name, owner, note, stored, turn, extract(epoch FROM clock_timestamp() - moved_at)::float8"
# One whose record was made and that was not removed any more is an image, and no unfinished upload.
_ALIVE = "NOT EXISTS (SELECT FROM images WHERE images.id = unfinished.id)"


@dataclass(frozen=True, slots=True)
class Known:
    """One look at an upload: bytes that are stored, the number of the last turn, seconds since it moved."""

    facts: Facts
    stored: int
    turn: int
    still_s: float


class UnfinishedTable:
    """Any thread may call any method; each blocks on the database and raises `StoreError`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, facts: Facts, most: int, most_bytes: int) -> bool:
        """Book an upload; False when there are so many, or so many bytes announced, that it does not fit.

        Does not wait for the disk: a database that crashes in the next moment has forgotten it, and its client begins
        anew.
        """
        with self._database.connection() as connection, connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            connection.execute("SET LOCAL synchronous_commit = off")
            return bool(
                connection.execute(
                    "INSERT INTO unfinished (id, length, name, owner, note) SELECT %s, %s, %s, %s, %s "
                    "FROM (SELECT count(*) AS uploads, coalesce(sum(length), 0) AS bytes FROM unfinished) AS booked "
                    "WHERE booked.uploads < %s AND booked.bytes + %s <= %s",
                    (*_texts(facts), most, facts.length, most_bytes),
                ).rowcount
            )

    def look(self, upload_id: str) -> Known | None:
        """How far it is; None when there is no such unfinished upload."""
        found = self._known(f"SELECT {_ROW} FROM unfinished WHERE id = %s AND {_ALIVE}", (text(upload_id),))  # noqa: S608
        return found[0] if found else None

    def claim(self, upload_id: str, offset: int) -> tuple[int, tuple[str, ...]] | None:
        """Take the next turn, if exactly so many bytes are stored: its number, and the pieces. Else None."""
        rows = self._database.rows(
            f"UPDATE unfinished SET turn = turn + 1, moved_at = clock_timestamp() "  # noqa: S608 - constants
            f"WHERE id = %s AND stored = %s AND {_ALIVE} RETURNING turn, pieces",
            (upload_id, offset),
        )
        return (int(rows[0][0]), tuple(rows[0][1])) if rows else None

    def interrupt(self, upload_id: str) -> None:
        """End whatever turn there is."""
        self._database.change("UPDATE unfinished SET turn = turn + 1 WHERE id = %s", (upload_id,))

    def store(self, upload_id: str, turn: int, stored: int, pieces: Iterable[str]) -> bool:
        """So many bytes lie in these pieces from now on. False, and no change, when it is not this turn any more."""
        return bool(
            self._database.change(
                "UPDATE unfinished SET stored = %s, pieces = %s, moved_at = clock_timestamp() "
                "WHERE id = %s AND turn = %s",
                (stored, list(pieces), upload_id, turn),
            )
        )

    def over(self, turns: Mapping[str, int]) -> set[str]:
        """The uploads, of those given with the number of a turn, whose turn is another by now, or that are gone."""
        if not turns:
            return set()
        rows = self._database.rows("SELECT id, turn FROM unfinished WHERE id = ANY(%s)", (list(turns),))
        now = {str(upload_id): int(turn) for upload_id, turn in rows}
        return {upload_id for upload_id, turn in turns.items() if now.get(upload_id) != turn}

    def remove(self, upload_id: str) -> bool:
        """Forget it; whether this call did."""
        return bool(self._database.change("DELETE FROM unfinished WHERE id = %s", (upload_id,)))

    def still_longest(self, least_s: float) -> list[Known]:
        """At most a hundred that have stood still for so long, the longest first."""
        return self._known(
            f"SELECT {_ROW} FROM unfinished "  # noqa: S608 - constants
            "WHERE moved_at <= clock_timestamp() - %s * interval '1 second' ORDER BY moved_at LIMIT 100",
            (least_s,),
        )

    def standing(self) -> tuple[int, int]:
        """How many there are, and their bytes as they were announced."""
        ((uploads, announced),) = self._database.rows(
            "SELECT count(*), coalesce(sum(length), 0)::bigint FROM unfinished"
        )
        return int(uploads), int(announced)

    def known(self, ids: Iterable[str]) -> set[str]:
        """Those of the given IDs that are unfinished uploads."""
        return {
            str(row[0]) for row in self._database.rows("SELECT id FROM unfinished WHERE id = ANY(%s)", (list(ids),))
        }

    def _known(self, sql: Any, values: tuple[Any, ...]) -> list[Known]:
        return [
            Known(Facts(upload_id, length, name, owner, note), stored, turn, max(0.0, still_s))
            for upload_id, length, name, owner, note, stored, turn, still_s in self._database.rows(sql, values)
        ]


def _texts(facts: Facts) -> tuple[str, int, str, str | None, str]:
    """As PostgreSQL takes them: it knows no NUL."""
    return facts.id, facts.length, facts.name, facts.owner, facts.note.replace("\0", "")

"""The laws that hold in a database of the scale-out at every moment, and the wait for one that is to answer again."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from imgpool.scaleout.database import Database
from imgpool.service.records import NewImage, StoreError
from serving import wait_for


@dataclass(frozen=True, slots=True)
class Moment:
    """What one statement saw."""

    accepted: int
    queued: int
    processing: int
    done: int
    failed: int
    deleted: int
    capacity: int
    taken: int
    slots: int
    rows: dict[str, int]  # by state

    def check(self) -> None:
        assert self.accepted == self.queued + self.processing + self.done + self.failed + self.deleted, self
        counted = {"queued": self.queued, "processing": self.processing, "done": self.done, "failed": self.failed}
        assert {state: number for state, number in counted.items() if number} == self.rows, self
        assert self.taken == self.slots + self.queued, self


def look(database: Database) -> Moment:
    """One moment of the whole store; its laws hold."""
    (row,) = database.rows(
        "SELECT (SELECT sum(accepted) FROM counts), (SELECT sum(queued) FROM counts), "
        "(SELECT sum(processing) FROM counts), (SELECT sum(done) FROM counts), (SELECT sum(failed) FROM counts), "
        "(SELECT sum(deleted) FROM counts), capacity, taken, (SELECT count(*) FROM slots), "
        "(SELECT coalesce(jsonb_object_agg(state, n), '{}') FROM "
        "(SELECT state, count(*) AS n FROM images GROUP BY state) AS by_state) FROM room"
    )
    moment = Moment(*(int(number) for number in row[:-1]), rows=row[-1])
    moment.check()
    return moment


def wait_until_it_answers(database: Database) -> None:
    """Of one that was away and is back: as one sees it who asked it meanwhile."""

    def answers() -> bool:
        with suppress(StoreError):
            return bool(database.rows("SELECT 1"))
        return False

    wait_for(answers, "the database to answer")


def new_image(number: int) -> NewImage:
    return NewImage(f"{number:032x}", f"{number}.jpg", 1000, "jpeg", 40, 30, received_at=100.0)

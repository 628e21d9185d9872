"""What is known of each image, and the seam where it is kept.

`Records` is the contract; `imgpool.service.sqlite` keeps it in one file, and any other store has to pass
the same tests (`tests/contract/test_records.py`). Records never hold bytes of images.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, LiteralString, Protocol

State = Literal["queued", "processing", "done", "failed"]
STATES: tuple[State, ...] = ("queued", "processing", "done", "failed")


@dataclass(frozen=True, slots=True)
class VariantRecord:
    """One file made from an original: `filename` is its name in OUTPUT/ID, sides in pixels."""

    name: str
    filename: str
    format: str
    width: int
    height: int
    bytes: int


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One accepted image. Times `_at` are seconds since the epoch; `_s` are measured monotonic durations.

    `sequence` grows with each accepted image and orders the listing; `format`, `width` and `height` are
    those of the original as a person sees it (after orientation). `owner` is whoever uploaded it without the right
    to see everything; None for all others.
    """

    id: str
    sequence: int
    name: str
    state: State
    bytes: int
    format: str
    width: int | None
    height: int | None
    received_at: float
    started_at: float | None
    finished_at: float | None
    wait_s: float | None
    service_s: float | None
    attempts: int
    error: str | None
    owner: str | None
    variants: tuple[VariantRecord, ...]


@dataclass(frozen=True, slots=True)
class NewImage:
    """What is recorded at acceptance, before anything was decoded."""

    id: str
    name: str
    bytes: int
    format: str
    width: int | None
    height: int | None
    received_at: float
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended: `error` None means done."""

    error: str | None
    wait_s: float | None
    service_s: float | None
    format: str | None = None
    width: int | None = None
    height: int | None = None
    variants: tuple[VariantRecord, ...] = ()

    @property
    def state(self) -> State:
        """In which state it leaves the image."""
        return "done" if self.error is None else "failed"


@dataclass(frozen=True, slots=True)
class Counts:
    """accepted = queued + processing + done + failed + deleted, over the data directory's whole life."""

    accepted: int
    queued: int
    processing: int
    done: int
    failed: int
    deleted: int


def columns(kind: type[ImageRecord | NewImage]) -> LiteralString:
    """The columns of a store's table, in the order of the fields that they keep: `dataclasses.astuple` is a row."""
    return ", ".join(field.name for field in fields(kind))


def image_record(row: Sequence[Any], variants: Iterable[Mapping[str, Any]]) -> ImageRecord:
    """The record that a store has kept in `columns`, of which the last is what it made of the variants' fields."""
    made = tuple(VariantRecord(**variant) for variant in variants)
    return ImageRecord(*row, made)  # type: ignore[call-arg]  # the star hides how many there are


class Records(Protocol):
    """A durable store of image records. Every method may block on the disk, may be called by any thread,
    is atomic, is on disk when it returns, and raises `StoreError` when the store cannot do it.
    """

    def add(self, image: NewImage) -> None:
        """Record an accepted image as `queued`."""

    def get(self, image_id: str) -> ImageRecord | None:
        """The record, or None when there is none (any more)."""

    def page(self, state: State | None, limit: int, before: int | None, owner: str | None = None) -> list[ImageRecord]:
        """At most `limit` records, newest first, only of `state`, older than sequence `before`, and of `owner`.

        Costs the same however many records of other owners there are.
        """

    def counts(self) -> Counts:
        """All counts of one moment; costs the same however many records there are."""

    def begin(self, image_id: str, now: float) -> ImageRecord | None:
        """Count an attempt *before* it is made: queued -> processing, attempts + 1.

        None when the image is not queued (deleted in between).
        """

    def begin_again(self, image_id: str, now: float) -> ImageRecord | None:
        """Count another attempt at an image that is `processing`: attempts + 1. None when it is not (any more)."""

    def finish(self, image_id: str, now: float, outcome: Outcome) -> bool:
        """processing -> done | failed. False when the record is gone or was not processing."""

    def hand_back(self, image_id: str) -> bool:
        """processing -> queued, and the attempt is not counted: the image is not to blame."""

    def try_again(self, image_id: str) -> bool:
        """failed -> queued, as if it had never been tried. False when it is not failed (any more)."""

    def failed_until(self, moment: float, after: int, limit: int) -> list[tuple[int, str]]:
        """The oldest (sequence, image ID) after a sequence, of at most `limit` images that had failed at `moment`."""

    def recover(self, now: float, max_attempts: int) -> tuple[int, int]:
        """After a start: every `processing` record goes back to `queued`, or to `failed` when it already had
        `max_attempts`. Returns how many of each. Nothing else may be using the store.
        """

    def backlog(self, after: int, limit: int) -> list[tuple[int, str]]:
        """The oldest queued (sequence, image ID) after a sequence: what a restarted service feeds its pool."""

    def last_sequence(self) -> int:
        """The sequence of the newest record ever added, 0 for none."""

    def delete(self, image_id: str) -> bool:
        """Forget the record; False when there was none."""

    def finished_before(self, moment: float, limit: int) -> list[str]:
        """IDs of at most `limit` done or failed images that finished before `moment`."""

    def known(self, image_ids: Iterable[str]) -> set[str]:
        """Those of the given IDs that have a record."""

    def close(self) -> None:
        """Let go of the store; idempotent."""


class StoreError(Exception):
    """The store could not do it now (disk full, locked, damaged); it may work later."""


class StoreBusy(StoreError):
    """The store works, and had no time for this."""


class StoreFull(StoreError):
    """The disk has no room for the change."""

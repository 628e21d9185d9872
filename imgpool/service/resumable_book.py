"""The book of unfinished uploads: which there are, and room for no more than are allowed.

Owns the entries in memory. When there is no room for another one, those that stood still longest are given up. Knows
nothing of requests.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from imgpool.config import Settings
from imgpool.errors import Expired, NoSuchUpload, TooManyUnfinished
from imgpool.service.intake import Intake
from imgpool.service.resumable_entry import Entry
from imgpool.service.resumable_files import Facts, UnfinishedStore

YIELDS_AFTER_S = 60.0  # an upload that stood still for so long may be dropped to make room for a new one


@dataclass(frozen=True, slots=True)
class Standing:
    """How many unfinished uploads there are, their bytes as they were announced, and how many hold a slot."""

    uploads: int
    bytes: int
    slots: int


class Book:
    """Of all uploads whose bytes are in `store`. Any thread may call any method; those that say so block on the disk,
    and raise OSError.
    """

    def __init__(self, settings: Settings, store: UnfinishedStore, intake: Intake) -> None:
        self.store, self.intake = store, intake
        self._settings = settings
        self._lock = threading.Lock()  # of the two that follow
        self._entries: dict[str, Entry] = {}
        self._bytes = 0

    def take_up(self, found: Iterable[tuple[Facts, float]], known: Callable[[Iterable[str]], set[str]]) -> int:
        """Before the first request: take up what an earlier run left, each with the seconds since it moved; returns how
        many uploads go on. Blocks. Raises OSError or `StoreError`.
        """
        now = self.intake.clock()
        for facts, still_s in found:
            kept = facts.id in known([facts.id])  # killed between its record and the end of its upload
            if kept or still_s >= self._settings.unfinished_expire_s:
                self.store.remove(facts.id)
            else:
                self._entries[facts.id] = Entry(facts, None, now - still_s)
                self._bytes += facts.length
        return len(self._entries)

    def entry(self, upload_id: str) -> Entry:
        """The one of this ID. Raises `NoSuchUpload`."""
        with self._lock:
            entry = self._entries.get(upload_id)
        if entry is None:
            raise no_such_upload()
        return entry

    def entries(self) -> list[Entry]:
        """All of them."""
        with self._lock:
            return list(self._entries.values())

    def standing(self) -> Standing:
        """How many there are."""
        with self._lock:
            slots = sum(entry.held is not None for entry in self._entries.values())
            return Standing(len(self._entries), self._bytes, slots)

    def enter(self, entry: Entry) -> None:
        """Book a new upload; those that stood still longest make room for it, if need be. Blocks on the disk. Raises
        `TooManyUnfinished`.
        """
        while not self._entered(entry):
            now = self.intake.clock()
            oldest = max(self.entries(), key=lambda each: each.still_s(now), default=None)
            if oldest is None or oldest.still_s(now) < YIELDS_AFTER_S:
                raise too_many()
            self._give_up(oldest)

    def remove(self, entry: Entry) -> None:
        """The upload is an image, or can become none: forget it and its bytes. Idempotent. Blocks on the disk."""
        self._removed(entry)

    def interrupt(self, entry: Entry) -> None:
        """End the request that sends bytes now, if there is one; what has come is kept. Blocks on the disk."""
        with entry.lock:
            entry.keep_and_take_over(self.intake.clock())

    def tend(self) -> None:
        """Give up those that expired. To be called once or twice a second. Blocks on the disk."""
        now = self.intake.clock()
        for entry in self.entries():
            if entry.still_s(now) >= self._settings.unfinished_expire_s:
                self._give_up(entry)

    def count_expired(self) -> None:
        """One was given up, since it stood still."""
        self.intake.count(Expired("The upload stood still for too long: begin it again."))

    def _entered(self, entry: Entry) -> bool:
        with self._lock:
            if (
                len(self._entries) >= self._settings.max_unfinished_uploads
                or self._bytes + entry.facts.length > self._settings.max_unfinished_bytes
            ):
                return False
            self._entries[entry.facts.id] = entry
            self._bytes += entry.facts.length
        return True

    def _give_up(self, entry: Entry) -> None:
        if self._removed(entry):  # two that want its room at once, or one and the tending, count it once
            self.count_expired()

    def _removed(self, entry: Entry) -> bool:
        """As `remove`; False when somebody else has, or does so just now."""
        entry.close(self.intake.clock())
        with self._lock:
            if self._entries.pop(entry.facts.id, None) is None:
                return False
            self._bytes -= entry.facts.length
        self.store.remove(entry.facts.id)
        return True


def too_many() -> TooManyUnfinished:
    """No place for another one, and none that could yield its own."""
    return TooManyUnfinished(
        "The server has as many unfinished uploads as it takes: try again in a minute.", retry_after_s=60
    )


def no_such_upload() -> NoSuchUpload:
    """There is none, or there is one no more."""
    return NoSuchUpload("There is no unfinished upload with this ID; it may have expired.")

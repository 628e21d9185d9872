"""The places in the queue that this host holds, each for one image on its way in.

PostgreSQL gives them. What it answered a moment ago is remembered here: a flood is refused from memory, and asks a few
times a second. Owns which places are held and which are to be given back; starts no thread, so whoever has one has to
call `keep`.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self

from imgpool.pool import PoolClosed, PoolFull
from imgpool.scaleout.cluster import Cluster
from imgpool.scaleout.overview import FRESH_S
from imgpool.service.records import StoreBusy, StoreError


class Places:
    """Any thread may call any method. `send` is told of each image that took its place; `let_go` is called when there
    is a place to give back: then somebody should `keep`. Neither may block.
    """

    def __init__(self, cluster: Cluster, send: Callable[[str], None], let_go: Callable[[], None]) -> None:
        self._database, self._room = cluster.database, cluster.room
        self._send, self._let_go = send, let_go
        self._closed = False
        self._lock = threading.Lock()  # of all that follows
        self._held: set[str] = set()
        self._given_back: deque[str] = deque()
        self._full_until = self._busy_until = float("-inf")

    def close(self) -> None:
        """Hand out none any more. Those that are held stay so."""
        self._closed = True

    def reserve(self, image_id: str) -> HeldPlace:
        """See `Engine.try_reserve`. Blocks on the database; raises `StoreError`, too."""
        self.refuse_what_is_known()
        try:
            self._give_back()  # what was let go of a moment ago may be the place that is wanted
            granted = self._room.reserve(image_id)
        except StoreBusy:
            with self._lock:
                self._busy_until = time.monotonic() + FRESH_S
            raise
        with self._lock:
            if granted:
                self._held.add(image_id)
                return HeldPlace(self, image_id)
            self._full_until = time.monotonic() + FRESH_S
        raise PoolFull("every place of all hosts is taken")

    def take_over(self, image_id: str) -> HeldPlace | None:
        """The place that another host, or this one, holds for this image: its upload goes on here. None when there is
        none, or the database does not answer. Blocks on the database.
        """
        with self._lock:
            if image_id in self._given_back:  # this host lets go of it, and nobody else has it
                return None
        try:
            if not self._room.take_over(image_id):
                return None
        except StoreError:
            return None
        with self._lock:
            self._held.add(image_id)
        return HeldPlace(self, image_id)

    def refuse_what_is_known(self) -> None:
        """See `Engine.refuse_what_is_known`."""
        if self._closed:
            raise PoolClosed("the server stops")
        if self._database.refuses:
            raise StoreError("the database did not answer a moment ago")
        now = time.monotonic()
        with self._lock:
            if now < self._busy_until:
                raise StoreBusy("the database had no time a moment ago")
            if now < self._full_until:
                raise PoolFull("every place of all hosts was taken a moment ago")

    def look_again(self) -> None:
        """There may be room now: ask the database at the next `reserve`."""
        with self._lock:
            self._full_until = float("-inf")

    def keep(self) -> None:
        """Give back what was let go of, and extend the leases of the others. To be called several times in each
        `lease_s`. Blocks on the database; raises `StoreError`.
        """
        self._give_back()
        with self._lock:
            held = set(self._held)
        self._room.keep(held)

    def sent(self, image_id: str) -> None:
        """The image is recorded, which made the place its own: tell a worker."""
        with self._lock:
            self._held.discard(image_id)
        self._send(image_id)

    def released(self, image_id: str) -> None:
        """The place is not wanted. Blocks on nothing: the database is told a moment later."""
        with self._lock:
            if image_id not in self._held:
                return
            self._held.discard(image_id)
            self._given_back.append(image_id)
            self._full_until = float("-inf")
        self._let_go()

    def _give_back(self) -> None:
        while True:
            with self._lock:
                if not self._given_back:
                    return
                image_id = self._given_back.popleft()
            try:
                self._room.release(image_id)
            except StoreError:
                with self._lock:
                    self._given_back.append(image_id)
                raise


class HeldPlace:
    """A `Slot` of this host."""

    def __init__(self, places: Places, image_id: str) -> None:
        self._places, self._image_id = places, image_id
        self._open = True

    def send(self, payload: str, *, weight: int = 0) -> None:
        """See `Slot.send`."""
        self._open = False
        self._places.sent(payload)

    def release(self) -> None:
        """See `Slot.release`."""
        if self._open:
            self._open = False
            self._places.released(self._image_id)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.release()

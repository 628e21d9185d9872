"""`Engine` over Celery: a place in the queue is PostgreSQL's to give, the workers are on other machines.

Owns the heartbeat of this host, by which it keeps its places and learns what the workers finished. Which places it
holds (`places`), what it knows of the others (`overview`) and how the workers are resized (`resizing`) are parts of
their own. Never processes anything.
"""

from __future__ import annotations

import logging
import threading

from celery import Celery

from imgpool.config import Settings
from imgpool.pool import Context, PoolStatistics
from imgpool.scaleout.broker import Publisher
from imgpool.scaleout.cluster import Cluster
from imgpool.scaleout.finishes import Finishes
from imgpool.scaleout.overview import Overview
from imgpool.scaleout.places import HeldPlace, Places
from imgpool.scaleout.resizing import Resizing
from imgpool.scaleout.sweeper import Sweeper
from imgpool.service.engine import Lane, Peer
from imgpool.service.measures import Measures
from imgpool.service.records import StoreError

log = logging.getLogger(__name__)

LOOK_S = 1.0  # between two looks at what the workers finished
MOST_WORKERS = 256


class CeleryEngine:
    """See `Engine`. `stop` ends its threads; the cluster's connections stay open."""

    asks_others = True
    most_workers = MOST_WORKERS

    def __init__(self, settings: Settings, cluster: Cluster, measures: Measures, app: Celery) -> None:
        self._settings, self._cluster = settings, cluster
        self.place_freed = threading.Event()
        self._publisher = Publisher(app)
        self._places = Places(cluster, self._publisher.send, self._let_go)
        self._overview = Overview(cluster, measures, capacity=settings.queue_capacity, lease_s=settings.lease_s)
        self._resizing = Resizing(app, self._overview.nodes)
        self._sweeper = Sweeper(cluster, settings, self._publisher.send, lambda: not self._publisher.away, files=True)
        self._finishes = Finishes(cluster.database, measures)
        self._stopping = Context()
        self._wake = threading.Event()
        self._beating = threading.Thread(target=self._beat, name="imgpool-beat", daemon=True)

    # Life

    def start(self) -> None:
        """See `Engine.start`: what is queued has been sent, or is found by a sweeper."""
        self._cluster.configure()
        self._cluster.beat(0)
        self._overview.ask()
        for part in (self._publisher, self._sweeper, self._beating, self._resizing):
            part.start()

    def stop(self, timeout_s: float) -> tuple[str, ...]:
        """See `Engine.stop`. What is accepted is the workers' to finish, whatever becomes of this host."""
        self._stopping.cancel("the server stops")
        self._places.close()
        self._wake.set()
        self._beating.join()
        self._resizing.stop()
        self._sweeper.stop()
        self._publisher.stop()
        self._cluster.leave()
        return ()

    def abort(self) -> None:
        """See `Engine.abort`: nothing runs here."""

    # Places

    def try_reserve(self, image_id: str) -> HeldPlace:
        """See `Engine.try_reserve`. Blocks on the database."""
        return self._places.reserve(image_id)

    def take_over(self, image_id: str) -> HeldPlace | None:
        """See `Places.take_over`."""
        return self._places.take_over(image_id)

    def refuse_what_is_known(self) -> None:
        """See `Engine.refuse_what_is_known`."""
        self._places.refuse_what_is_known()

    def weigh(self, image_id: str) -> int:
        """See `Engine.weigh`: the worker that gets it does."""
        return 0

    def _let_go(self) -> None:
        self.place_freed.set()
        self._wake.set()

    # What is known

    def look(self) -> None:
        """See `Engine.look`: a quarter of a second old at most; older when the database is away."""
        self._overview.look()

    def statistics(self) -> PoolStatistics:
        """See `Engine.statistics`: of all hosts."""
        return self._overview.statistics(accepting=not self._stopping.done)

    def lanes(self) -> tuple[Lane, ...]:
        """See `Engine.lanes`: one for each pool process of every worker."""
        return self._overview.lanes()

    def peers(self) -> tuple[Peer, ...]:
        """See `Engine.peers`."""
        return self._overview.peers()

    # Steering

    def resize(self, workers: int) -> None:
        """See `Engine.resize`: spread over the workers that live, each of which has one at least."""
        self._resizing.want(workers)

    def set_queue_capacity(self, places: int) -> None:
        """See `Engine.set_queue_capacity`: for all hosts. Blocks; raises `StoreError`."""
        self._cluster.room.set_capacity(places)
        self._look_again()
        self.place_freed.set()

    def pause(self) -> None:
        """See `Engine.pause`: all workers. Blocks; raises `StoreError`."""
        self._cluster.room.set_paused(True)
        self._look_again()

    def resume(self) -> None:
        """See `Engine.resume`. Blocks; raises `StoreError`."""
        self._cluster.room.set_paused(False)
        self._look_again()

    def _look_again(self) -> None:
        """Whoever steered shall see it at once."""
        self._places.look_again()
        self._overview.look_again()

    # In the heartbeat's thread

    def _beat(self) -> None:
        every_s = min(LOOK_S, self._settings.lease_s / 5)
        while True:
            self._wake.wait(every_s)
            self._wake.clear()
            try:
                self._places.keep()
                self._cluster.records.settle()
                self._cluster.beat(0)
                self._finishes.tell()
            except StoreError as error:
                log.error("no heartbeat: %s", error)
            except Exception:  # without this thread, the places of all uploads here would be taken away
                log.exception("no heartbeat")
            if self._stopping.done:
                return  # the places that this host still held are given back by a sweeper
            self.place_freed.set()  # by workers elsewhere, perhaps: whoever waits for a place looks

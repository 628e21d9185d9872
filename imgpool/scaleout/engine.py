"""`Engine` over Celery: a place in the queue is PostgreSQL's to give, the workers are on other machines.

Owns the places that this host holds, two threads, one for its heartbeat and one that steers the workers, and what it
remembers for a moment of the answers of the database: a flood is refused from memory, and asks a few times a second.
Never processes anything.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from types import TracebackType
from typing import Any, Self

from celery import Celery

from imgpool.config import Settings
from imgpool.pool import ChannelStatistics, Context, PoolClosed, PoolFull, PoolStatistics
from imgpool.scaleout.broker import SET_WORKERS, Publisher
from imgpool.scaleout.cluster import Cluster
from imgpool.scaleout.finishes import Finishes
from imgpool.scaleout.members import AtWork, Member
from imgpool.scaleout.room import RoomStatistics
from imgpool.scaleout.sweeper import Sweeper
from imgpool.service.engine import Lane, Peer
from imgpool.service.measures import Measures
from imgpool.service.records import StoreBusy, StoreError

log = logging.getLogger(__name__)

FRESH_S = 0.25  # how old an answer of the database may be that is told again
LOOK_S = 1.0  # between two looks at what the workers finished
MOST_WORKERS = 256
STEER_S = 1.0  # how long workers may take to answer


class CeleryEngine:
    """See `Engine`. `stop` ends its threads and the cluster's connections stay open."""

    asks_others = True
    most_workers = MOST_WORKERS

    def __init__(self, settings: Settings, cluster: Cluster, measures: Measures, app: Celery) -> None:
        self._settings, self._cluster, self._measures, self._app = settings, cluster, measures, app
        self.place_freed = threading.Event()
        self._publisher = Publisher(app)
        self._sweeper = Sweeper(cluster, settings, self._publisher.send, lambda: not self._publisher.away, files=True)
        self._finishes = Finishes(cluster.database, measures)
        self._lock = threading.Lock()  # of all that follows
        self._held: set[str] = set()
        self._given_back: deque[str] = deque()
        self._full_until = self._busy_until = float("-inf")
        self._wanted_workers: int | None = None  # as steered, until the workers have done it
        self._room = RoomStatistics(settings.queue_capacity, 0, 0, False)
        self._members: tuple[Member, ...] = ()
        self._at_work: tuple[AtWork, ...] = ()
        self._disagree = False  # the web hosts, about the capacity
        self._looked_at = float("-inf")
        self._looking = threading.Lock()  # one at a time asks, the others take what is known
        self._stopping = Context()
        self._wake = threading.Event()
        self._steer_now = threading.Event()
        self._thread = threading.Thread(target=self._run, name="imgpool-beat", daemon=True)
        self._steering = threading.Thread(target=self._keep_steering, name="imgpool-steer", daemon=True)

    # Life

    def start(self) -> None:
        """See `Engine.start`: what is queued has been sent, or is found by a sweeper."""
        self._cluster.configure()
        self._cluster.beat(0)
        self._look(now=time.monotonic())
        self._publisher.start()
        self._sweeper.start()
        self._thread.start()
        self._steering.start()

    def stop(self, timeout_s: float) -> tuple[str, ...]:
        """See `Engine.stop`. What is accepted is the workers' to finish, whatever becomes of this host."""
        self._stopping.cancel("the server stops")
        self._wake.set()
        self._steer_now.set()
        self._thread.join()
        self._steering.join()
        self._sweeper.stop()
        self._publisher.stop()
        self._cluster.leave()
        return ()

    def abort(self) -> None:
        """See `Engine.abort`: nothing runs here."""

    # Places

    def try_reserve(self, image_id: str) -> Held:
        """See `Engine.try_reserve`. Blocks on the database."""
        self.refuse_what_is_known()
        try:
            self._give_back()  # what was let go of a moment ago may be the place that is wanted
            granted = self._cluster.room.reserve(image_id)
        except StoreBusy:
            with self._lock:
                self._busy_until = time.monotonic() + FRESH_S
            raise
        with self._lock:
            if granted:
                self._held.add(image_id)
                return Held(self, image_id)
            self._full_until = time.monotonic() + FRESH_S
        raise PoolFull("every place of all hosts is taken")

    def take_over(self, image_id: str) -> Held | None:
        """The place that another host, or this one, holds for this image: its upload goes on here. None when there is
        none, or the database does not answer. Blocks on the database.
        """
        with self._lock:
            if image_id in self._given_back:  # this host lets go of it, and nobody else has it
                return None
        try:
            if not self._cluster.room.take_over(image_id):
                return None
        except StoreError:
            return None
        with self._lock:
            self._held.add(image_id)
        return Held(self, image_id)

    def refuse_what_is_known(self) -> None:
        """See `Engine.refuse_what_is_known`."""
        if self._stopping.done:
            raise PoolClosed("the server stops")
        if self._cluster.database.refuses:
            raise StoreError("the database did not answer a moment ago")
        now = time.monotonic()
        with self._lock:
            if now < self._busy_until:
                raise StoreBusy("the database had no time a moment ago")
            if now < self._full_until:
                raise PoolFull("every place of all hosts was taken a moment ago")

    def sent(self, image_id: str) -> None:
        """The image is recorded, which made the place its own: tell a worker."""
        with self._lock:
            self._held.discard(image_id)
        self._publisher.send(image_id)

    def released(self, image_id: str) -> None:
        """The place is not wanted. Blocks on nothing: the database is told a moment later."""
        with self._lock:
            if image_id not in self._held:
                return
            self._held.discard(image_id)
            self._given_back.append(image_id)
            self._full_until = float("-inf")
        self.place_freed.set()
        self._wake.set()

    def _give_back(self) -> None:
        while True:
            with self._lock:
                if not self._given_back:
                    return
                image_id = self._given_back.popleft()
            try:
                self._cluster.room.release(image_id)
            except StoreError:
                with self._lock:
                    self._given_back.append(image_id)
                raise

    def weigh(self, image_id: str) -> int:
        """See `Engine.weigh`: the worker that gets it does."""
        return 0

    # What is known

    def statistics(self) -> PoolStatistics:
        """See `Engine.statistics`: of all hosts."""
        with self._lock:
            room, workers, at_work = self._room, self._alive("worker"), self._at_work
        return PoolStatistics(
            workers=sum(each.concurrency for each in workers),
            busy=len(at_work),
            paused=room.paused,
            accepting=not self._stopping.done,
            submitted=0,
            refused=0,
            dropped=0,
            cancelled=0,
            failed=0,
            succeeded=0,
            queued=room.queued,
            running=len(at_work),
            undelivered=0,
            observer_errors=0,
            jobs=_channel("jobs", room.capacity, room.queued, room.reserved),
            results=_channel("results", 0, 0, 0),
            weights=None,
        )

    def lanes(self) -> tuple[Lane, ...]:
        """See `Engine.lanes`: one for each pool process of every worker."""
        with self._lock:
            workers, at_work = self._alive("worker"), self._at_work
        busy = {each.worker: each for each in at_work}
        lanes = []
        for member in workers:
            work = busy.pop(member.name, None)
            name = f"{member.host}-{member.pid}"
            lanes.append(Lane(name, work.image_id, work.for_s) if work else Lane(name, None, None))
        return (*lanes, *(Lane(each.worker, each.image_id, each.for_s) for each in busy.values()))

    def peers(self) -> tuple[Peer, ...]:
        """See `Engine.peers`."""
        with self._lock:
            members, at_work = self._members, self._at_work
        images = {each.worker: each.image_id for each in at_work}
        return tuple(
            Peer(
                each.name,
                each.kind,
                each.host,
                each.pid,
                each.up_s,
                each.silent_s,
                each.silent_s < self._settings.lease_s,
                images.get(each.name),
                each.queue_capacity,
            )
            for each in members
        )

    def _alive(self, kind: str) -> list[Member]:
        """With the lock held."""
        return [each for each in self._members if each.kind == kind and each.silent_s < self._settings.lease_s]

    def look(self) -> None:
        """See `Engine.look`: a quarter of a second old at most; older when the database is away."""
        now = time.monotonic()
        if now - self._looked_at < FRESH_S or not self._looking.acquire(blocking=False):
            return
        try:
            self._look(now)
        except StoreError as error:
            log.debug("told of a while ago: %s", error)
        finally:
            self._looking.release()

    def _look(self, now: float) -> None:
        self._looked_at = now  # also when it fails: a database that is away is not asked by everybody
        room, members = self._cluster.room.statistics(), self._cluster.members.all()
        at_work = self._cluster.members.at_work()
        with self._lock:
            self._room, self._members, self._at_work = room, members, at_work
            workers = sum(each.concurrency for each in self._alive("worker"))
            settings = {each.queue_capacity for each in self._alive("web")} - {None}  # None: of an earlier version
            told, self._disagree = self._disagree, len(settings) > 1
        if self._disagree and not told:
            log.warning(
                "web hosts were started with different --queue-capacity: %s; the newest counts for all (%d places "
                "now): start all with the same",
                ", ".join(f"{each.queue_capacity} on {each.host} {each.pid}" for each in members if each.kind == "web"),
                room.capacity,
            )
        self._measures.set_workers(max(1, workers))

    # Steering

    def resize(self, workers: int) -> None:
        """See `Engine.resize`: spread over the workers that live, each of which has one at least."""
        with self._lock:
            self._wanted_workers = workers
        self._steer_now.set()

    def set_queue_capacity(self, places: int) -> None:
        """See `Engine.set_queue_capacity`: for all hosts. Blocks; raises `StoreError`."""
        self._cluster.room.set_capacity(places)
        self._forget()
        self.place_freed.set()

    def pause(self) -> None:
        """See `Engine.pause`: all workers. Blocks; raises `StoreError`."""
        self._cluster.room.set_paused(True)
        self._forget()

    def resume(self) -> None:
        """See `Engine.resume`. Blocks; raises `StoreError`."""
        self._cluster.room.set_paused(False)
        self._forget()

    def _forget(self) -> None:
        """Whoever steered shall see it at once."""
        with self._lock:
            self._full_until = float("-inf")
        self._looked_at = float("-inf")

    # In the thread that steers

    def _keep_steering(self) -> None:
        """Have the workers do what was steered; those whose processes are all busy are asked again a second later."""
        while not self._stopping.done:
            with self._lock:
                wanted = self._wanted_workers
            self._steer_now.wait(None if wanted is None else STEER_S)
            self._steer_now.clear()
            try:
                self._steer()
            except Exception as error:  # Celery's and the broker's, of many kinds
                log.error("the workers could not be steered: %s", error)

    def _steer(self) -> None:
        with self._lock:
            wanted = self._wanted_workers
        if wanted is None:
            return
        nodes = sorted({name for reply in self._app.control.ping(timeout=STEER_S) for name in reply})
        if not nodes:
            return
        share, more = divmod(wanted, len(nodes))
        done = 0
        for chosen, n in ((nodes[:more], share + 1), (nodes[more:], max(1, share))):
            if chosen:
                answers: list[dict[str, Any]] = self._app.control.broadcast(
                    SET_WORKERS, arguments={"n": n}, destination=chosen, reply=True, timeout=STEER_S
                )
                done += sum(told["ok"] == told["wanted"] for answer in answers for told in answer.values())
        with self._lock:
            if done == len(nodes) and self._wanted_workers == wanted:
                self._wanted_workers = None

    # In the heartbeat's thread

    def _run(self) -> None:
        every_s = min(LOOK_S, self._settings.lease_s / 5)
        while True:
            self._wake.wait(every_s)
            self._wake.clear()
            try:
                self._give_back()
                with self._lock:
                    held = set(self._held)
                self._cluster.room.keep(held)
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


class Held:
    """A `Slot` of this host."""

    def __init__(self, engine: CeleryEngine, image_id: str) -> None:
        self._engine, self._image_id = engine, image_id
        self._open = True

    def send(self, payload: str, *, weight: int = 0) -> None:
        """See `Slot.send`."""
        self._open = False
        self._engine.sent(payload)

    def release(self) -> None:
        """See `Slot.release`."""
        if self._open:
            self._open = False
            self._engine.released(self._image_id)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.release()


def _channel(name: str, capacity: int, buffered: int, reserved: int) -> ChannelStatistics:
    return ChannelStatistics(
        name,
        capacity,
        buffered,
        reserved,
        waiting_senders=0,
        waiting_receivers=0,
        peak=0,
        closed=False,
    )

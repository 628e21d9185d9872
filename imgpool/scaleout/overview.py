"""What is known here of all hosts and workers together: the room in the queue, who takes part, who works on what.

Owns what the database told last; whoever wants to know has a `look` first, and however many do, it is asked a few
times a second. Says once when the hosts disagree about a setting of all. Changes nothing there.
"""

from __future__ import annotations

import logging
import threading
import time

from imgpool.pool import ChannelStatistics, PoolStatistics
from imgpool.scaleout.cluster import Cluster
from imgpool.scaleout.members import AtWork, Kind, Member
from imgpool.scaleout.room import RoomStatistics
from imgpool.service.engine import Lane, Peer
from imgpool.service.measures import Measures
from imgpool.service.records import StoreError

log = logging.getLogger(__name__)

FRESH_S = 0.25  # how old an answer of the database may be that is told again


class Overview:
    """Any thread may call any method; one at a time asks the database, and none but `ask`, `look`, `look_again` and
    `nodes` block on it. A member that was silent for `lease_s` is taken to be dead. `measures` are told how many images
    all workers process at once.
    """

    def __init__(self, cluster: Cluster, measures: Measures, *, capacity: int, lease_s: float) -> None:
        self._cluster, self._measures, self._lease_s = cluster, measures, lease_s
        self._lock = threading.Lock()  # of the four that follow
        self._room = RoomStatistics(capacity, 0, 0, False)
        self._members: tuple[Member, ...] = ()
        self._at_work: tuple[AtWork, ...] = ()
        self._disagree = False  # the web hosts, about the capacity
        self._looked_at = float("-inf")
        self._looking = threading.Lock()

    def ask(self) -> None:
        """Ask the database, whatever is known. Blocks; raises `StoreError`."""
        self._looked_at = time.monotonic()  # also when it fails: a database that is away is not asked by everybody
        room, members = self._cluster.room.statistics(), self._cluster.members.all()
        at_work = self._cluster.members.at_work()
        with self._lock:
            self._room, self._members, self._at_work = room, members, at_work
            workers = sum(each.concurrency for each in self._alive("worker"))
            webs = [each for each in self._alive("web") if each.queue_capacity is not None]  # None: an earlier version
            told, self._disagree = self._disagree, len({each.queue_capacity for each in webs}) > 1
        if self._disagree and not told:
            log.warning(
                "web hosts were started with different --queue-capacity: %s; the newest counts for all (%d places "
                "now): start all with the same",
                ", ".join(f"{each.queue_capacity} on {each.host} {each.pid}" for each in webs),
                room.capacity,
            )
        self._measures.set_workers(max(1, workers))

    def look(self) -> None:
        """See `Engine.look`: a quarter of a second old at most; older when the database is away."""
        if time.monotonic() - self._looked_at < FRESH_S or not self._looking.acquire(blocking=False):
            return
        try:
            self._try_to_ask()
        finally:
            self._looking.release()

    def look_again(self) -> None:
        """Whoever steered shall see it at once. Blocks on the database, and for a look that began before."""
        with self._looking:
            self._try_to_ask()

    def _try_to_ask(self) -> None:
        try:
            self.ask()
        except StoreError as error:
            log.debug("told of a while ago: %s", error)

    def statistics(self, *, accepting: bool) -> PoolStatistics:
        """See `Engine.statistics`: of all hosts."""
        with self._lock:
            room, workers, at_work = self._room, self._alive("worker"), self._at_work
        return PoolStatistics(
            workers=sum(each.concurrency for each in workers),
            busy=len(at_work),
            paused=room.paused,
            accepting=accepting,
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

    def nodes(self) -> set[str]:
        """The names of the Celery workers whose processes are alive. Blocks as `look` does."""
        self.look()
        with self._lock:
            return {each.name.rpartition("/")[0] for each in self._alive("worker")}

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
                self._lives(each),
                images.get(each.name),
                each.queue_capacity,
            )
            for each in members
        )

    def _lives(self, member: Member) -> bool:
        return member.silent_s < self._lease_s

    def _alive(self, kind: Kind) -> list[Member]:
        """With the lock held."""
        return [each for each in self._members if each.kind == kind and self._lives(each)]


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

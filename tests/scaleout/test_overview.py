"""What a host knows of all hosts together, when it is asked while that changes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing

from imgpool.config import Settings
from imgpool.scaleout.cluster import Cluster
from imgpool.scaleout.overview import Overview
from imgpool.scaleout.room import Room, RoomStatistics
from imgpool.service.measures import Measures

WAIT_S = 60.0


class Late(Room):
    """Its first answer is on its way while others change what it tells."""

    given: threading.Event
    may_arrive: threading.Event

    def statistics(self) -> RoomStatistics:
        answer = super().statistics()
        if not self.given.is_set():
            self.given.set()
            self.may_arrive.wait(WAIT_S)
        return answer


def test_who_steers_while_another_looks_sees_it_at_once(
    settings: Callable[..., Settings], database_url: str, shared: str
) -> None:
    given = settings(broker="redis://127.0.0.1:9/0", database=database_url, files=shared)
    with closing(Cluster(given, "web", "w")) as cluster:
        cluster.open()
        cluster.room = room = Late(cluster.database, host="w", lease_s=15)
        room.given, room.may_arrive = threading.Event(), threading.Event()
        room.set_capacity(5)
        overview = Overview(cluster, Measures(1), capacity=1, lease_s=15)
        seen: list[int] = []

        def steer() -> None:
            room.set_capacity(7)
            overview.look_again()
            overview.look()
            seen.append(overview.statistics(accepting=True).jobs.capacity)

        threads = [threading.Thread(target=overview.look)]
        threads[0].start()
        assert room.given.wait(WAIT_S)
        threads.append(threading.Thread(target=steer))
        threads[1].start()
        threads[1].join(0.2)  # it has to wait for the one that looks, or has seen what that one knows
        room.may_arrive.set()
        for thread in threads:
            thread.join(WAIT_S)
        assert seen == [7]

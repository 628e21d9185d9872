"""One load test under way: offers pictures as clients of a kind would, and writes down what happens.

Knows nothing of Locust: `offer` blocks the greenlet or thread that plays the client.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from imgpool.load.behaviour import Behaviour
from imgpool.load.follow import Follower
from imgpool.load.pictures import Picture, in_turn
from imgpool.load.plan import Plan
from imgpool.load.record import Followed, Record, Try
from imgpool.load.target import Target
from imgpool.load.upload import upload

NO_SERVER_PAUSE_S = 1.0


class Session:
    """`told` is called after each try, in the client's greenlet. `over` ends all waiting between tries."""

    def __init__(
        self,
        target: Target,
        pictures: list[Picture],
        plan: Plan | None,
        behaviours: list[Behaviour],
        told: Callable[[Try], None],
    ) -> None:
        self.target, self.plan, self.behaviours = target, plan, behaviours
        self.record = Record()
        self.follower = Follower(target, self.record)
        self.over = threading.Event()
        self.all_arrived = threading.Event()  # each upload of a plan of arrivals has been offered, and is answered
        self.until_done = False  # whether a user goes on only when its image has ended
        self._pictures = in_turn(pictures)
        self._told = told

    def offer(self, behaviour: Behaviour, due_s: float | None = None) -> Followed | None:
        """Have one picture taken, with as many tries as the behaviour allows. `due_s` is when it should have begun.

        Returns the image that was accepted, whose end is not known yet.
        """
        record, picture = self.record, next(self._pictures)
        first_due_s = due_s = record.now() if due_s is None else due_s
        record.arrivals.append(first_due_s)
        for tried in range(1, behaviour.tries + 1):
            began_s = record.now()
            record.under_way += 1
            try:
                answer = upload(self.target, picture, behaviour)
            finally:
                record.under_way -= 1
            now = record.now()
            this = Try(behaviour.name, due_s, began_s, now, answer, first_due_s)
            record.tries.append(this)
            self._told(this)
            if answer.image_id is not None:
                image = Followed(answer.image_id, first_due_s, now)
                self.follower.add(image)
                return image
            if answer.kind == "refused" and answer.status not in (408, 429, 503, 507):
                return None  # another try would be refused as well
            pause_s = NO_SERVER_PAUSE_S if answer.kind == "unreachable" else 0.0
            if behaviour.obeys_retry_after:
                pause_s = max(pause_s, answer.retry_after_s or NO_SERVER_PAUSE_S)
            if tried == behaviour.tries or self.over.wait(pause_s) or self.over.is_set():
                break
            due_s = max(record.now(), now + pause_s)
        record.gave_up += 1
        return None

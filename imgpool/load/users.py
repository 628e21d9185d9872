"""The clients as Locust users, to be run by `imgpool load`, by `locust -f`, and to be extended in a locustfile.

Importing this module imports Locust and so gevent, which replaces parts of the standard library in this process.
"""

from __future__ import annotations

import time
from typing import Any

import gevent
from gevent.pool import Group
from locust import User, task
from locust.env import Environment
from locust.exception import StopUser

from imgpool.load.behaviour import IMPATIENT, ONCE, POLITE, RUDE, SLOW, Behaviour
from imgpool.load.record import Try
from imgpool.load.session import Session

LOOK_EVERY_S = 0.02


def join(environment: Environment, session: Session) -> None:
    """Make the session that of all users of this Locust environment."""
    environment.imgpool = session  # type: ignore[attr-defined]


def session_of(environment: Environment) -> Session:
    """The session that was joined."""
    session: Session = environment.imgpool  # type: ignore[attr-defined]
    return session


class ImgpoolUser(User):
    """Uploads one picture after the other; its class says how it takes a no."""

    abstract = True
    behaviour: Behaviour = POLITE

    @property
    def session(self) -> Session:
        """The test that this user is part of."""
        return session_of(self.environment)

    @task
    def upload_a_picture(self) -> None:
        """Offer one picture until it is taken, or the user gives up."""
        session = self.session
        if session.over.is_set():
            raise StopUser
        image = session.offer(self.behaviour)
        while session.until_done and image is not None and image.end is None and not session.over.is_set():
            time.sleep(LOOK_EVERY_S)


class PoliteUser(ImgpoolUser):
    """Waits as long as Retry-After says."""

    weight = 1
    behaviour = POLITE


class ImpatientUser(ImgpoolUser):
    """Tries again at once, and hangs up on a slow answer."""

    weight = 1
    behaviour = IMPATIENT


class RudeUser(ImgpoolUser):
    """Sends whole bodies whatever the server says."""

    weight = 1
    behaviour = RUDE


class SlowUser(ImgpoolUser):
    """Has a slow line."""

    weight = 1
    behaviour = SLOW


class OnceUser(ImgpoolUser):
    """Tries each picture once."""

    weight = 1
    behaviour = ONCE


USERS: dict[str, type[ImgpoolUser]] = {
    each.behaviour.name: each for each in (PoliteUser, ImpatientUser, RudeUser, SlowUser, OnceUser)
}


class Arrivals(User):
    """One Locust user that starts a client for each arrival of the plan, when it is due, whatever became of the others.
    A program that is late itself starts those that were due by the end all the same.

    Locust's own users wait for their last answer before they ask again, and so spare a server that is slow.
    """

    fixed_count = 1

    @task
    def start_clients(self) -> None:
        """Run the whole plan once."""
        session = session_of(self.environment)
        plan, behaviours = session.plan, session.behaviours
        assert plan is not None  # noqa: S101
        clients = Group()
        try:
            for number, due_s in enumerate(plan.arrivals()):
                wait_s = due_s - session.record.now()
                if wait_s > 0:
                    time.sleep(wait_s)
                elif number % 50 == 49:
                    gevent.sleep(0)  # late: let the others run, and catch up
                if session.record.interrupted_s is not None:
                    break
                clients.spawn(session.offer, behaviours[number % len(behaviours)], due_s)
            clients.join()
        finally:
            clients.kill()
            session.all_arrived.set()
        raise StopUser


def report_to(environment: Environment) -> Any:
    """Return what tells Locust of each try, for its own statistics and web page."""

    def told(this: Try) -> None:
        accepted = this.answer.kind == "accepted"
        environment.events.request.fire(  # type: ignore[no-untyped-call]
            request_type="POST",
            name=f"/api/images ({this.client})",
            response_time=(this.ended_s - this.due_s) * 1000,
            response_length=0,
            exception=None if accepted else Exception(f"{this.answer.kind}: {this.answer.reason}"),
            context={},
        )

    return told

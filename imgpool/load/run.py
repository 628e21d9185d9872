"""Runs a load test in this process, with Locust. Blocks until the last image has been followed to its end."""

from __future__ import annotations

import logging
import resource
import time
from collections.abc import Callable
from contextlib import suppress

import gevent
from locust import User
from locust.env import Environment

from imgpool.load.behaviour import BEHAVIOURS
from imgpool.load.pictures import Picture
from imgpool.load.plan import Plan
from imgpool.load.record import Record
from imgpool.load.session import Session
from imgpool.load.target import Target
from imgpool.load.users import USERS, Arrivals, join, report_to
from imgpool.load.watch import Watch

STEER_EVERY_S = 0.25
LAST_ANSWERS_S = 30.0


def run_load(
    target: Target,
    plan: Plan,
    clients: list[str],
    pictures: list[Picture],
    *,
    follow_s: float,
    until_done: bool = False,
    progress: Callable[[Record, int], None] = lambda record, waiting: None,
) -> Record:
    """Run the plan and return what happened. `clients` are names of behaviours, with equal shares. With `until_done`
    a user offers its next picture only when the one before has ended.

    After the plan's end, answers still under way are awaited for half a minute, and accepted images are followed for
    `follow_s` at most. `progress` is called some times a second with the record and the number of unfinished images.
    """
    _raise_file_limit()
    logging.getLogger("locust").setLevel(logging.ERROR)
    open_loop = plan.unit == "arrivals/s"
    classes: list[type[User]] = [Arrivals] if open_loop else [USERS[name] for name in clients]
    environment = Environment(user_classes=classes, host=target.url, stop_timeout=LAST_ANSWERS_S)
    session = Session(target, pictures, plan, [BEHAVIOURS[name] for name in clients], report_to(environment))
    session.until_done = until_done
    join(environment, session)
    runner = environment.create_local_runner()
    record, follower = session.record, session.follower
    watch = Watch(target, record)
    helpers = [gevent.spawn(each) for each in (follower.run, watch.run)]
    record.begin()
    level = 0
    try:
        while (now := record.now()) < plan.duration_s:
            # A user, once started, goes on by itself; a climb from zero begins with one.
            wanted = 1 if open_loop else max(1, round(plan.level_at(now)))
            if wanted != level:
                runner.start(wanted, spawn_rate=1000)
                level = wanted
            progress(record, follower.waiting)
            time.sleep(min(STEER_EVERY_S, max(0.0, plan.duration_s - now)))
        session.over.set()
        _wait(
            lambda: record.under_way == 0 and (session.all_arrived.is_set() or not open_loop),
            LAST_ANSWERS_S,
            record,
            follower.waiting,
            progress,
        )
        limit = record.now() + follow_s
        while follower.waiting and not follower.gone and record.now() < limit:
            progress(record, follower.waiting)
            time.sleep(STEER_EVERY_S)
    except KeyboardInterrupt:
        record.interrupted_s = record.now()  # what was measured so far is still the person's
        session.over.set()
    finally:
        runner.quit()
        gevent.killall(helpers)
        follower.close()
        watch.close()
    progress(record, follower.waiting)
    return record


def _wait(
    until: Callable[[], bool], limit_s: float, record: Record, waiting: int, progress: Callable[[Record, int], None]
) -> None:
    limit = record.now() + limit_s
    while not until() and record.now() < limit:
        progress(record, waiting)
        time.sleep(0.05)


def _raise_file_limit() -> None:
    """Every upload under way is an open file: have as many as the system allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

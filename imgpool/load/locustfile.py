"""The same clients for Locust's own command, with its web page, its statistics and its distribution:

    locust -f "$(python -c 'import imgpool.load as load; print(load.LOCUSTFILE)')" -H http://127.0.0.1:8000

A class of users can be named at the end (`PoliteUser`, `RudeUser`, ...); without one, all kinds share the load. To
extend it, write a file of your own that begins with `from imgpool.load.locustfile import *`, and add classes.
"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import click
import gevent
from locust import events
from locust.env import Environment
from locust.runners import MasterRunner

from imgpool.load.pictures import read_pictures
from imgpool.load.plan import Plan
from imgpool.load.session import Session
from imgpool.load.summary import summarise
from imgpool.load.target import CONSENT, LoadError, find_target
from imgpool.load.terminal import result_lines
from imgpool.load.users import (
    ImgpoolUser,
    ImpatientUser,
    OnceUser,
    PoliteUser,
    RudeUser,
    SlowUser,
    join,
    report_to,
    session_of,
)
from imgpool.load.watch import Watch

__all__ = ["ImgpoolUser", "ImpatientUser", "OnceUser", "PoliteUser", "RudeUser", "SlowUser"]

FOLLOW_S = 60.0


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def add_options(parser: ArgumentParser) -> None:
    """Locust asks for options of our own here."""
    parser.add_argument("--images", nargs="*", default=[], help="files and folders to upload; default: the samples")
    parser.add_argument("--token", env_var="IMGPOOL_TOKEN", default=None, is_secret=True, help="the server's token")
    parser.add_argument(CONSENT, dest="consent", action="store_true", help="needed for any server but this machine's")


@events.test_start.add_listener  # type: ignore[untyped-decorator]
def begin(environment: Environment, **_: Any) -> None:
    """A test begins: from Locust's web page there may be several in one process."""
    if isinstance(environment.runner, MasterRunner):
        return  # its workers do the work
    options: Any = environment.parsed_options
    try:
        target = find_target(environment.host or "", options.token, options.consent)
        target.check()
        pictures = read_pictures([Path(each) for each in options.images])
    except LoadError as error:
        environment.process_exit_code = 2
        raise SystemExit(f"imgpool: {error}") from None
    session = Session(target, pictures, None, [], report_to(environment))
    join(environment, session)
    session.record.begin()
    watch = Watch(target, session.record)
    environment.imgpool_helpers = [gevent.spawn(session.follower.run), gevent.spawn(watch.run)]  # type: ignore[attr-defined]


@events.test_stop.add_listener  # type: ignore[untyped-decorator]
def end(environment: Environment, **_: Any) -> None:
    """The users have stopped: follow what they had accepted to its end, and tell the result."""
    if isinstance(environment.runner, MasterRunner):
        return
    session = session_of(environment)
    session.over.set()
    record, follower = session.record, session.follower
    lasted_s = record.now()
    while follower.waiting and not follower.gone and record.now() < lasted_s + FOLLOW_S:
        gevent.sleep(0.1)
    gevent.killall(environment.imgpool_helpers)  # type: ignore[attr-defined]
    follower.close()
    users = max(1, max((each.under_way for each in record.client), default=1))
    plan = Plan("users", (float(users),), 0.0, max(lasted_s, 0.001))
    clients = sorted({each.client for each in record.tries})
    for line in result_lines(summarise(record, plan, url=session.target.url, clients=clients, images=[])):
        click.echo(line)

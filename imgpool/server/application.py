"""`imgpool serve`: gunicorn inside this process, with the options that the service needs."""

from __future__ import annotations

import signal
import socket
import sys
from functools import partial
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication

from imgpool.config import Settings, http_threads_for
from imgpool.errors import SettingError
from imgpool.server.descriptors import connections
from imgpool.server.stop import MasterHandler
from imgpool.server.worker import Worker
from imgpool.web import create_app
from imgpool.web.backing import make_service
from imgpool.web.reach import check_reach

STOP_MARGIN_S = 10.0


def http_threads(settings: Settings) -> int:
    """Threads that answer HTTP: more than uploads can be admitted, so that the status page always has one."""
    return settings.http_threads or http_threads_for(settings.queue_capacity)


def gunicorn_options(settings: Settings) -> dict[str, Any]:
    """One process (the pool lives in it), many threads, and time enough to drain."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return {
        "bind": [f"{host}:{settings.port}"],
        "workers": 1,
        "worker_class": Worker,
        "threads": http_threads(settings),
        "worker_connections": connections(settings),
        "backlog": 2048,
        "keepalive": 15,
        "timeout": 60,
        # The master kills at this time: the requests' share and the pool's drain have to fit in it.
        "graceful_timeout": int(settings.drain_timeout_s + STOP_MARGIN_S),
        "max_requests": 0,  # a restart would drain the pool for nothing
        "preload_app": False,  # threads do not survive the fork
        "control_socket_disable": True,
        # Whom to believe is the setting trusted_proxies, and imgpool.web.proxies does it. gunicorn would believe all
        # of this machine, and take SCRIPT_NAME and PATH_INFO from their headers, too.
        "forwarded_allow_ips": "",
        "on_starting": _refuse_what_cannot_be,
        "when_ready": partial(_before_the_first_worker, settings),
        "loglevel": "warning",
    }


def _refuse_what_cannot_be(arbiter: Any) -> None:
    """Options that a gunicorn started by hand may have, and this server has not."""
    if arbiter.cfg.is_ssl:  # a handshake would hold a thread, and headers could not be looked at before it
        sys.stderr.write(
            "imgpool: --certfile: TLS is not spoken here; put a proxy in front that does (docs/deploy.md)\n"
        )
        sys.exit(2)
    if arbiter.cfg.workers != 1:
        sys.stderr.write(f"imgpool: -w: {arbiter.cfg.workers} is not allowed; allowed: 1 (the pool lives in it)\n")
        sys.exit(2)


def _before_the_first_worker(settings: Settings, arbiter: Any) -> None:
    """The sockets are there, wherever they came from (`-b`, systemd); nobody is answered yet."""
    try:
        for listener in arbiter.LISTENERS:
            if isinstance(name := listener.getsockname(), tuple):  # a Unix socket is not on the net
                check_reach(settings, name[0])
    except SettingError as error:
        sys.stderr.write(f"imgpool: {error}\n")
        sys.exit(2)
    # gunicorn answers these with a second worker process or a second master: here that would end the service.
    for number in (signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    handler = MasterHandler(arbiter.signal)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handler)


class Application(BaseApplication):  # type: ignore[misc]  # gunicorn ships no types
    """gunicorn with settings from imgpool instead of a command line."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        """Called by gunicorn."""
        for name, value in gunicorn_options(self._settings).items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Called by gunicorn in its worker process, after the fork."""
        return create_app(self._settings, make_service(self._settings))


def _check_address(settings: Settings) -> None:
    """Try the address: gunicorn would try for five seconds and say it in ten lines."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[
            0
        ]
        with socket.socket(family, kind, protocol) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
    except OSError as error:
        raise SettingError(
            f"--host {settings.host} --port {settings.port}: cannot be listened on: {error.strerror}; "
            "allowed: an address of this machine, and a port that no other program has"
        ) from None


def serve(settings: Settings) -> None:
    """Serve until a signal ends it; then the process exits.

    Raises `SettingError`, `DataDirectoryInUse` or `StoreError` when it could not: here, in one line, and not from a
    worker process that gunicorn would report in five.
    """
    check_reach(settings, settings.host)
    service = make_service(settings)
    service.open()
    service.close()
    _check_address(settings)
    Application(settings).run()

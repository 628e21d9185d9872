"""The moment at which a server begins to serve: its service is started, and where it listens is said."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from typing import Any

from imgpool.errors import ImgpoolError
from imgpool.service import Service, StoreError

log = logging.getLogger(__name__)

REFUSED_TO_START = 3  # gunicorn's own exit status for a worker that cannot boot: the master stops, too


def start_or_exit(service: Service) -> None:
    """Start it. Blocks. When that fails, say why in one line, and exit: gunicorn would start new workers for ever."""
    try:
        service.start()
    except Exception as error:
        print(f"imgpool: {error}", file=sys.stderr, flush=True)  # noqa: T201 - one line, for whoever started it
        if not isinstance(error, (ImgpoolError, StoreError)):
            log.exception("the service could not start")
        sys.exit(REFUSED_TO_START)


def say_where(listeners: Iterable[Any]) -> None:
    """The line that says that uploads are accepted, for each listening socket."""
    for listener in listeners:
        print(f"imgpool: serving on {_address(listener)}", flush=True)  # noqa: T201 - the contract's line


def _address(listener: Any) -> str:
    """http://HOST:PORT of a listening socket."""
    name = listener.getsockname()
    if isinstance(name, (str, bytes)):
        return f"unix:{name!s}"
    host = f"[{name[0]}]" if ":" in name[0] else name[0]
    return f"http://{host}:{name[1]}"

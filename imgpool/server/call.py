"""The application as gunicorn's threads call it: what the server knows of a request goes into its environment.

Owns which connection each thread serves. Decides nothing, and blocks only where the application does.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from flask import Flask

from imgpool.server.connection import Connection
from imgpool.web.admission import ADMITTED, END_BODY
from imgpool.web.problems import CLOSE_CONNECTION


class Call:
    """A WSGI application around another one."""

    def __init__(self, application: Flask) -> None:
        self._application = application
        self._thread = threading.local()  # .connection: whose request this thread serves

    def serves(self, connection: Connection) -> None:
        """The calling thread serves this connection's request next."""
        self._thread.connection = connection

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Called by gunicorn, in a thread that `serves`."""
        connection: Connection = self._thread.connection
        if connection.admitted is not None:
            environ[ADMITTED] = connection.admitted
        environ[END_BODY] = connection.end_body

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            # Gunicorn would wait in this thread for the rest of a body that the application did not read.
            if environ.get(CLOSE_CONNECTION) or not connection.body_is_here():
                start_response.__self__.force_close()  # gunicorn's Response: it then says "Connection: close"
            connection.parser.answering_since = time.monotonic()
            return start_response(status, headers, exc_info)

        return self._application(environ, start)

"""Flask: pages, JSON API, problems. Talks to the service and knows nothing of threads or gunicorn.

`create_app(settings, service)` starts nothing. `create_app()`, as `gunicorn` and `flask run` call it, makes its
own service from environment and file: imgpool's gunicorn worker class starts and drains that one, and for
`flask run` it is done here. Any other WSGI server has to call `service.start()` and `service.stop()` itself.
"""

from __future__ import annotations

import atexit
import logging
import signal
from pathlib import Path
from types import FrameType
from typing import Any

import click
from flask import Flask
from flask.logging import default_handler
from werkzeug.exceptions import HTTPException
from werkzeug.serving import is_running_from_reloader

import imgpool
from imgpool.config import Settings, load
from imgpool.errors import Refused
from imgpool.service import Service, StoreError
from imgpool.service.ownership import secret_key
from imgpool.web.admission import Admission
from imgpool.web.api import api
from imgpool.web.gate import Gate
from imgpool.web.pages import pages
from imgpool.web.problems import http_error, refusal_response, store_error
from imgpool.web.proxies import TrustedProxies
from imgpool.web.security import protect

log = logging.getLogger(__name__)


def create_app(settings: Settings | None = None, service: Service | None = None) -> Flask:
    """The WSGI application. Raises `SettingError` for settings that cannot be used."""
    if service is None:
        service = Service(settings or load())
        if _served_by_flask_run():
            _run_until_exit(service)
    app = Flask("imgpool", template_folder=str(_beside("templates")), static_folder=str(_beside("static")))
    admission = Admission(service)
    proxies = TrustedProxies(app.wsgi_app, service.settings.trusted_proxies)
    app.wsgi_app = proxies  # type: ignore[method-assign]
    app.extensions["imgpool"] = service
    app.extensions["imgpool.admission"] = admission
    app.extensions["imgpool.gate"] = Gate(app, service, proxies, admission)
    app.config.update(
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Strict",
        SESSION_COOKIE_NAME="imgpool",
        MAX_FORM_MEMORY_SIZE=64 * 1024,  # the sign-in form; uploads never pass through Flask's form parser
        MAX_CONTENT_LENGTH=None,
    )
    if service.settings.token is not None:
        # With the token in it, a changed token signs everybody out.
        app.secret_key = secret_key(service.settings.data_dir) + service.settings.token
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the contract's order reads better
    app.register_blueprint(api)
    app.register_blueprint(pages)
    app.register_error_handler(HTTPException, http_error)
    app.register_error_handler(Refused, refusal_response)
    app.register_error_handler(StoreError, store_error)
    app.context_processor(_version)
    protect(app, service)
    return app


def _version() -> dict[str, Any]:
    return {"version": imgpool.__version__}


def _beside(name: str) -> Path:
    """`templates` or `static`: in the installed package, or at the top of a checkout."""
    package = Path(imgpool.__file__).parent
    inside = package / name
    return inside if inside.is_dir() else package.parent / name


def _served_by_flask_run() -> bool:
    """Whether `flask run` makes this application to serve it, and not its reloader's watching parent."""
    context = click.get_current_context(silent=True)
    if context is None or context.info_name != "run":
        return False
    reloads = context.params.get("reload")
    if reloads is None:
        reloads = context.params.get("debug") or False
    return is_running_from_reloader() or not reloads


def _run_until_exit(service: Service) -> None:
    logging.basicConfig(level=logging.INFO, handlers=[default_handler])
    service.start()
    atexit.register(service.stop)
    # SIGTERM would end Python without a word; as an exit it drains first.
    signal.signal(signal.SIGTERM, _exit)


def _exit(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)

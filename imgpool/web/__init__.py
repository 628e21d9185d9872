"""Flask: pages, JSON API, problems. Talks to the service and knows nothing of threads or gunicorn.

`create_app(settings, service)` starts nothing. `create_app()`, as `gunicorn` and `flask run` call it, makes its
own service from environment and file: imgpool's gunicorn worker class starts and drains that one, and for
`flask run` it is done here. Any other WSGI server has to call `service.start()` and `service.stop()` itself.
"""

from __future__ import annotations

import atexit
import logging
import signal
from hashlib import sha256
from pathlib import Path
from types import FrameType
from typing import Any

import click
from flask import Flask, request
from flask.logging import default_handler
from flask.sessions import SecureCookieSessionInterface
from werkzeug.exceptions import HTTPException
from werkzeug.serving import is_running_from_reloader

import imgpool
from imgpool.config import Settings, load
from imgpool.errors import NotAllowed, Refused, SettingError
from imgpool.service import Service, StoreError
from imgpool.web.admission import Admission
from imgpool.web.api import api
from imgpool.web.backing import make_service
from imgpool.web.gate import Gate
from imgpool.web.learn import add_lab
from imgpool.web.pages import pages
from imgpool.web.problems import http_error, refusal_response, store_error
from imgpool.web.proxies import TrustedProxies
from imgpool.web.reach import check_reach
from imgpool.web.secret import secret_key, shared_secret_key
from imgpool.web.security import Guard, protect
from imgpool.web.shared import Shared
from imgpool.web.steer import not_allowed
from imgpool.web.tus import tus
from imgpool.web.visitors import Visitors

log = logging.getLogger(__name__)


def create_app(settings: Settings | None = None, service: Service | None = None) -> Flask:
    """The WSGI application. Raises `SettingError` for settings that cannot be used."""
    if service is None:
        service = make_service(settings or load())
        if (host := _host_of_flask_run()) is not None:
            _run_until_exit(service, host)
    app = Flask("imgpool", template_folder=str(_beside("templates")), static_folder=str(_beside("static")))
    admission = Admission(service)
    proxies = TrustedProxies(app.wsgi_app, service.settings.trusted_proxies)
    app.wsgi_app = proxies  # type: ignore[method-assign]
    app.extensions["imgpool"] = service
    app.extensions["imgpool.admission"] = admission
    app.extensions["imgpool.shared"] = Shared()
    app.session_interface = _Cookies()
    key = _key(service.settings)
    app.config.update(
        SECRET_KEY=key or None,
        SESSION_COOKIE_HTTPONLY=True,
        # Not Strict: a link from elsewhere would come without the cookie, and give an anonymous uploader a new name.
        SESSION_COOKIE_SAMESITE="Lax",
        # Cookies do not know ports: two servers on one machine would sign each other's visitors out.
        SESSION_COOKIE_NAME=f"imgpool-{sha256(key.encode()).hexdigest()[:8]}",
        MAX_FORM_MEMORY_SIZE=64 * 1024,  # the sign-in form; uploads never pass through Flask's form parser
        MAX_CONTENT_LENGTH=None,
    )
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the contract's order reads better
    add_lab(app, service)
    app.register_blueprint(api)
    app.register_blueprint(tus)
    app.register_blueprint(pages)
    app.register_error_handler(HTTPException, http_error)
    app.register_error_handler(Refused, refusal_response)
    app.register_error_handler(StoreError, store_error)
    app.register_error_handler(NotAllowed, not_allowed)
    app.context_processor(_version)
    app.extensions["imgpool.visitors"] = visitors = Visitors(service.settings, key)
    guard = Guard(app, service.settings, visitors)
    app.extensions["imgpool.gate"] = Gate(app, guard, service, proxies, admission)
    protect(app, service, guard)
    return app


def _key(settings: Settings) -> str:
    """What signs cookies, when there is anything to sign. A visitor may meet another host with each request."""
    if settings.token is None:
        return ""
    if settings.files is not None:
        return shared_secret_key(settings.token, settings.files)
    return secret_key(settings.data_dir)


class _Cookies(SecureCookieSessionInterface):
    """Signed cookies, that travel encrypted only when they came to be so."""

    def get_cookie_secure(self, app: Flask) -> bool:
        """Asked by Flask for each cookie that it sets."""
        return request.is_secure


def _version() -> dict[str, Any]:
    return {"version": imgpool.__version__}


def _beside(name: str) -> Path:
    """`templates` or `static`: in the installed package, or at the top of a checkout."""
    package = Path(imgpool.__file__).parent
    inside = package / name
    return inside if inside.is_dir() else package.parent / name


def _host_of_flask_run() -> str | None:
    """Where `flask run` will listen, when it makes this application to serve it; None for its reloader's watching
    parent and for everybody else.
    """
    context = click.get_current_context(silent=True)
    if context is None or context.info_name != "run":
        return None
    reloads = context.params.get("reload")
    if reloads is None:
        reloads = context.params.get("debug") or False
    return str(context.params.get("host", "127.0.0.1")) if is_running_from_reloader() or not reloads else None


def _run_until_exit(service: Service, host: str) -> None:
    try:
        check_reach(service.settings, host)
    except SettingError as error:
        raise click.UsageError(str(error)) from None
    logging.basicConfig(level=logging.INFO, handlers=[default_handler])
    service.start()
    atexit.register(service.stop)
    # SIGTERM would end Python without a word; as an exit it drains first.
    signal.signal(signal.SIGTERM, _exit)


def _exit(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)

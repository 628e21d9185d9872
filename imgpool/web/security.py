"""Who may ask: the token, requests from other sites, and the headers that keep pages to themselves.

All of it looks at headers alone: a refused upload's body stays unread.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from urllib.parse import urlsplit

from flask import Flask, Response, redirect, request, session, url_for
from werkzeug.wrappers import Request
from werkzeug.wrappers import Response as BaseResponse

from imgpool.config import Settings
from imgpool.errors import CrossSite, Refused, Unauthorized
from imgpool.service import Service
from imgpool.web.problems import refusal_response

OPEN_ENDPOINTS = {"api.healthz", "api.readyz", "static", "pages.sign_in", "api.openapi"}
UPLOAD_ENDPOINTS = {"api.upload", "pages.upload"}
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'; object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def protect(app: Flask, service: Service) -> None:
    """Put the checks before, and the headers after, every request of the application."""
    token = service.settings.token

    @app.before_request
    def check() -> BaseResponse | None:
        refusal: Refused | None = None
        if request.method not in ("GET", "HEAD", "OPTIONS") and not from_own_pages(request):
            refusal = CrossSite(
                "This request comes from a page of another site: open imgpool itself, and use its form."
            )
        elif token is not None and request.endpoint not in OPEN_ENDPOINTS and not has_token(request, token, session):
            if request.method in ("GET", "HEAD") and request.blueprint == "pages":
                return redirect(url_for("pages.sign_in", next=request.full_path.rstrip("?")), 303)
            refusal = Unauthorized("Send the server's token as 'Authorization: Bearer TOKEN', or sign in on the page.")
        if refusal is None:
            return None
        if request.endpoint in UPLOAD_ENDPOINTS:
            service.count_refused(refusal)
        return refusal_response(refusal)

    @app.after_request
    def add_headers(response: Response) -> Response:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    @app.context_processor
    def signed_in() -> dict[str, bool]:
        return {"signed_in": bool(token and session.get("signed_in"))}


def from_own_pages(asked: Request) -> bool:
    """Whether a request that changes something may have been sent: by a program, or by a page of this server.

    Browsers say where a request comes from in Sec-Fetch-Site, and older ones in Origin; programs say nothing.
    """
    site = asked.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = asked.headers.get("Origin")
    try:
        return origin is None or urlsplit(origin).netloc == asked.host
    except ValueError:  # "http://[": no browser sends that
        return False


def right_token(given: str, token: str) -> bool:
    """Compared in constant time: how much of a guess is right cannot be measured."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())


def has_token(asked: Request, token: str, cookie: Mapping[str, object] | None) -> bool:
    """Whether a request brings the token, or the cookie of a browser that has signed in."""
    kind, _, given = asked.headers.get("Authorization", "").partition(" ")
    if kind.lower() == "bearer" and right_token(given.strip(), token):
        return True
    return cookie is not None and cookie.get("signed_in") is True


def may_upload(app: Flask, asked: Request, settings: Settings) -> bool:
    """Whether an upload passes all that `protect` checks, asked outside of Flask's request. False does not say why."""
    if not from_own_pages(asked):
        return False
    if settings.token is None:
        return True
    cookie = app.session_interface.open_session(app, asked)  # type: ignore[arg-type]  # looks at the cookie alone
    return has_token(asked, settings.token, cookie)

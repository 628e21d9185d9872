"""What a request has to pass before it is answered: its Host header, where it comes from, and its visitor's rights.

All of it looks at headers alone: a refused upload's body stays unread. An endpoint that is named in none of the sets
here asks for the token, when there is one.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from flask import Flask, Response, g, redirect, request, session, url_for
from werkzeug.wrappers import Request
from werkzeug.wrappers import Response as BaseResponse

from imgpool.config import Settings
from imgpool.errors import CrossSite, NoHost, Refused, Unauthorized, WrongHost
from imgpool.service import Service
from imgpool.web.problems import problem, refusal_response
from imgpool.web.visitors import OWNER, Visitor, Visitors, visitor

OPEN_ENDPOINTS = {
    *("api.healthz", "api.readyz", "api.openapi", "static", "tus.options"),
    *("pages.sign_in", "pages.sign_out"),
}
UPLOAD_ENDPOINTS = {"api.upload", "pages.upload", "tus.create", "tus.go_on", "tus.overridden"}
UPLOADERS_ENDPOINTS = UPLOAD_ENDPOINTS | {
    *("pages.sample", "pages.upload_page", "pages.status_page", "pages.image_page", "pages.delete_image"),
    *("pages.retry_image", "pages.delete_images", "api.retry", "api.delete_many"),
    *("tus.look", "tus.terminate"),
    *("api.images", "api.image", "api.variant", "api.delete", "api.status", "api.history"),
}
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'; object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?", re.IGNORECASE)


class Guard:
    """Judges requests by their headers. Any thread."""

    def __init__(self, app: Flask, settings: Settings, visitors: Visitors) -> None:
        self._app, self.visitors = app, visitors
        self._names = {"localhost", ".localhost", settings.host.lower(), *(settings.allowed_hosts or ())}

    def refusal(self, asked: Request) -> Refused | None:
        """Why this is answered for nobody, whoever asks."""
        return wrong_host(called(asked), self._names) or cross_site(asked)

    def may_upload(self, asked: Request) -> bool:
        """Whether an upload passes all that `protect` checks, asked outside of Flask's request. False does not say
        why: the application does.
        """
        if self.refusal(asked) is not None:
            return False
        cookie = self._app.session_interface.open_session(self._app, asked)  # type: ignore[arg-type]  # reads a cookie
        return self.visitors.of(asked, {} if cookie is None else cookie).may_upload


def protect(app: Flask, service: Service, guard: Guard) -> None:
    """Put the checks before, and the headers after, every request of the application."""

    @app.before_request
    def check() -> BaseResponse | None:
        refusal = guard.refusal(request)
        if refusal is None:
            who = g.visitor = guard.visitors.of(request, session)
            if _may(who, request.endpoint):
                _remember_owner(who)
                return None
            if request.method in ("GET", "HEAD") and request.blueprint not in (None, "api", "tus"):
                return redirect(url_for("pages.sign_in", next=request.full_path.rstrip("?")), 303)
            if who.is_program and who.may_upload:
                return problem(
                    403, "Not with this token", "This asks for the server's token, not for its upload token."
                )
            if who.is_program:
                guard.visitors.guesses.tell(request.remote_addr)
            refusal = Unauthorized("Send the server's token as 'Authorization: Bearer TOKEN', or sign in on the page.")
        if request.endpoint in UPLOAD_ENDPOINTS:
            service.count_refused(refusal)
        return refusal_response(refusal)

    headers = _with_redirected_images(service.settings)

    @app.after_request
    def add_headers(response: Response) -> Response:
        for name, value in headers.items():
            response.headers.setdefault(name, value)
        if service.settings.token is not None and request.endpoint not in OPEN_ENDPOINTS:
            _keep_private(response)
        return response

    @app.context_processor
    def rights() -> dict[str, object]:
        return {"visitor": visitor(), "has_token": service.settings.token is not None}


def _with_redirected_images(settings: Settings) -> dict[str, str]:
    """Browsers hold a redirect to the same policy: where images are redirected to has to be in it."""
    if settings.variant_delivery != "redirect":
        return HEADERS
    endpoint = urlsplit(settings.s3_endpoint or "")
    where = f"{endpoint.scheme}://{endpoint.netloc}" if endpoint.netloc else "https://*.amazonaws.com"
    policy = HEADERS["Content-Security-Policy"].replace("img-src 'self'", f"img-src 'self' {where}")
    return {**HEADERS, "Content-Security-Policy": policy}


def _may(who: Visitor, endpoint: str | None) -> bool:
    if endpoint is None or endpoint in OPEN_ENDPOINTS:  # None: there is nothing, and everybody may know that
        return True
    return who.may_steer or (who.may_upload and endpoint in UPLOADERS_ENDPOINTS)


def _keep_private(response: Response) -> None:
    """What depends on who asks is for that visitor's browser alone, and asked for again each time."""
    if not response.cache_control.no_store:
        response.cache_control.public = False
        response.cache_control.private = True
        if response.cache_control.max_age is None:
            response.cache_control.no_cache = True


def _remember_owner(who: Visitor) -> None:
    """Give a browser its own name, with the page it uploads from: two uploads at once must not make two owners."""
    if request.endpoint in UPLOAD_ENDPOINTS | {"pages.upload_page"} and not (who.may_steer or who.is_program):
        session.setdefault(OWNER, who.owner)


def called(asked: Request) -> str | None:
    """The name by which a request calls this server; None when it does not say, as HTTP/1.0 may. A target that is a
    whole address counts for more than the Host header (RFC 9112, 3.2.2).
    """
    target = str(asked.environ.get("RAW_URI", ""))  # gunicorn's; other servers keep the Host header right themselves
    if target.lower().startswith(("http://", "https://")):
        return target.split("/", 3)[2]
    given: str | None = asked.environ.get("HTTP_HOST")
    return "" if given is None and asked.environ.get("SERVER_PROTOCOL") == "HTTP/1.1" else given


def wrong_host(given: str | None, names: set[str]) -> Refused | None:
    """The refusal for a request that calls another server than this one.

    A page whose own name was made to point here (DNS rebinding) would be same-origin with this server; but its
    requests still carry that name. Addresses are always right, since nobody can make one point elsewhere; and so is
    no name at all, since all browsers send one.
    """
    if given == "":
        return NoHost("Send a Host header with the name or the address of this server.")
    if given is None or "*" in names:
        return None
    match = _HOST.fullmatch(given)
    name = match[1].lower().removesuffix(".") if match else ""
    if name and (_is_address(name) or any(_is_called(name, each) for each in names)):
        return None
    return WrongHost(
        f"This server is not called {given[:100]!r}: open it by its address, or start it with this name in "
        "--allowed-hosts."
    )


def _is_called(name: str, allowed: str) -> bool:
    return name == allowed.removeprefix(".") or (allowed.startswith(".") and name.endswith(allowed))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def cross_site(asked: Request) -> Refused | None:
    """The refusal for a request that changes something and was sent by a page of another site.

    Browsers say where a request comes from in Sec-Fetch-Site, and older ones in Origin; programs say nothing.
    """
    if asked.method in ("GET", "HEAD", "OPTIONS") or from_own_pages(asked):
        return None
    return CrossSite("This request comes from a page of another site: open imgpool itself, and use its form.")


def from_own_pages(asked: Request) -> bool:
    """Whether a request may have been sent by a program, or by a page of this server."""
    site = asked.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = asked.headers.get("Origin")
    try:
        return origin is None or urlsplit(origin).netloc == asked.host
    except ValueError:  # "http://[": no browser sends that
        return False

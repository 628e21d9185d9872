"""Errors as RFC 9457 problem details: JSON for programs, the same in a page for browsers."""

from __future__ import annotations

from flask import Response, jsonify, make_response, render_template, request
from werkzeug.exceptions import HTTPException

from imgpool.errors import Refused
from imgpool.service import StoreBusy, StoreError

PROBLEM_TYPE = "/problems/{}"
PROBLEM_JSON = "application/problem+json"


def problem_fields(refusal: Refused) -> dict[str, object]:
    """type, title, status and detail, as RFC 9457 names them."""
    return {
        "type": PROBLEM_TYPE.format(refusal.reason.replace("_", "-")),
        "title": refusal.title,
        "status": refusal.status,
        "detail": refusal.detail,
    }


def problem(status: int, title: str, detail: str, *, kind: str = "about:blank", **more: object) -> Response:
    """A problem in the form that the client can read: a page under `/`, JSON under `/api` and to programs."""
    if _wants_page():
        response = make_response(render_template("problem.html", status=status, title=title, detail=detail))
    else:
        response = jsonify({"type": kind, "title": title, "status": status, "detail": detail, **more})
        response.mimetype = PROBLEM_JSON
    response.status_code = status
    response.headers["Cache-Control"] = "no-store"
    return response


CLOSE_CONNECTION = "imgpool.close_connection"
"""WSGI environment key: the rest of the body stays unread, so the answer has to say that the connection ends with it.

imgpool's gunicorn worker obeys it. Without that, a client that keeps connections alive would send its next upload
into one that the server has closed, and could not know whether to send it again.
"""


def refusal_response(refusal: Refused, **more: object) -> Response:
    """The answer to an upload of which nothing was accepted."""
    fields = problem_fields(refusal)
    response = problem(refusal.status, refusal.title, refusal.detail, kind=str(fields["type"]), **more)
    request.environ[CLOSE_CONNECTION] = True
    return with_retry_after(response, refusal)


def with_retry_after(response: Response, refusal: Refused) -> Response:
    """Add when to come back, and how to sign in, where the refusal says so."""
    if refusal.retry_after_s is not None:
        response.headers["Retry-After"] = str(refusal.retry_after_s)
    if refusal.status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="imgpool"'
    return response


def http_error(error: HTTPException) -> Response:
    """Flask's own errors (404, 405, ...) as problems."""
    status = error.code or 500
    response = problem(status, error.name, error.description or error.name)
    for name, value in error.get_headers():
        if name in ("Allow", "Content-Range"):
            response.headers[name] = value
    return response


def store_error(error: StoreError) -> Response:
    """The record store does not answer in time: nothing is lost, and nothing can be said now."""
    what = "has more to do than it can" if isinstance(error, StoreBusy) else "does not answer"
    response = problem(503, f"The record store {what}", "Try again in a moment.")
    response.headers["Retry-After"] = "5"
    return response


def _wants_page() -> bool:
    if request.path.startswith(("/api/", "/metrics", "/healthz", "/readyz")):
        return False
    return request.accept_mimetypes.best_match([PROBLEM_JSON, "text/html"]) == "text/html"

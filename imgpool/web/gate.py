"""The gate: an upload decided on at its headers, before it costs a thread or passes through Flask.

For a server that can ask then, as imgpool's gunicorn worker does. Decides only what the application would decide in
the same way, with the same checks in the same order; whatever needs a closer look is left to it. Blocks on nothing.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from flask import Flask, g, request
from werkzeug import Request

from imgpool.errors import Refused
from imgpool.service import Service
from imgpool.service.upload import clean_name
from imgpool.web.admission import Admission, Admitted
from imgpool.web.pages import refused_page
from imgpool.web.problems import PROBLEM_JSON, problem_fields
from imgpool.web.proxies import TrustedProxies
from imgpool.web.receive import Received
from imgpool.web.security import HEADERS, Guard

API_UPLOAD = "/api/images"
UPLOADS = {API_UPLOAD, "/upload"}
SMALL_BODIES = {"/sign-in", "/api/lab/runs", "/api/lab/floods"}
PAGES_KEPT = 256
Answer = tuple[str, str, bytes]  # status, header lines, body
to_json = json.JSONEncoder(separators=(",", ":")).encode  # as Flask writes it
HEADERS_OF_ALL = "".join(
    f"{name}: {value}\r\n"
    for name, value in {"Content-Type": PROBLEM_JSON, "Cache-Control": "no-store", **HEADERS}.items()
)


class Gate:
    """What can be said of a request at its headers. Any thread."""

    def __init__(
        self, app: Flask, guard: Guard, service: Service, proxies: TrustedProxies, admission: Admission
    ) -> None:
        self._app, self._guard, self._service = app, guard, service
        self._proxies, self._admission = proxies, admission
        self._one_page_for_all = service.settings.token is None
        self._pages: dict[tuple[str, str], Answer] = {}  # by reason and detail

    def decide(self, environ: dict[str, Any]) -> Admitted | Refused | None:
        """A slot for an upload, or why it gets none; None when the application has to decide.

        A refusal is not counted yet. Changes the environment.
        """
        if environ["REQUEST_METHOD"] != "POST" or environ["PATH_INFO"] not in UPLOADS:
            return None
        self._proxies.apply(environ)
        asked = Request(environ)
        if not self._guard.may_upload(asked):
            return None
        try:
            return self._admission.admit_at_once(asked)
        except Refused as refusal:
            return refusal

    def reads_small_body(self, environ: dict[str, Any]) -> bool:
        """Whether the application will read a small body, whole, before it answers."""
        return environ["REQUEST_METHOD"] == "POST" and environ["PATH_INFO"] in SMALL_BODIES

    def answer(self, environ: dict[str, Any], refusal: Refused) -> Answer | None:
        """Status, header lines and body of a refusal; counts it. None: the application has to answer."""
        if environ["PATH_INFO"] != API_UPLOAD:
            if not self._one_page_for_all or environ["QUERY_STRING"] or environ["SCRIPT_NAME"]:
                return None
            self._service.count_refused(refusal)
            return self._page(refusal)
        self._service.count_refused(refusal)
        fields = problem_fields(refusal)
        name = clean_name(Request(environ).args.get("name", ""))
        body = to_json({**fields, "refused": [{"name": name, **fields}]}).encode() + b"\n"
        lines = f"{HEADERS_OF_ALL}Content-Length: {len(body)}\r\n"
        if refusal.retry_after_s is not None:
            lines += f"Retry-After: {refusal.retry_after_s}\r\n"
        return f"{refusal.status} {HTTPStatus(refusal.status).phrase}", lines, body

    def _page(self, refusal: Refused) -> Answer:
        """The page that the application shows for this refusal. Drawing takes a millisecond: a flood of forms needs few
        of them, since all that differs is when to come back.
        """
        known = self._pages.get((refusal.reason, refusal.detail))
        if known is not None:
            return known
        with self._app.test_request_context("/upload", method="POST"):
            g.visitor = self._guard.visitors.of(request, {})
            response = refused_page(Received(refused=[("", refusal)]))
            response = self._app.process_response(response)
            lines = "".join(f"{name}: {value}\r\n" for name, value in response.headers)
            page = response.status, lines, response.get_data()
        if len(self._pages) >= PAGES_KEPT:
            self._pages.clear()
        self._pages[refusal.reason, refusal.detail] = page
        return page

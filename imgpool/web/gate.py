"""The gate: an upload decided on at its headers, before it costs a thread or passes through Flask.

For a server that can ask then, as imgpool's gunicorn worker does. Decides only what the application would decide in
the same way, with the same checks in the same order; whatever needs a closer look is left to it. Blocks on nothing.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from werkzeug import Request

from imgpool.errors import Refused
from imgpool.service import Service
from imgpool.service.upload import clean_name
from imgpool.web.admission import Admission, Admitted
from imgpool.web.problems import PROBLEM_JSON, problem_fields
from imgpool.web.proxies import TrustedProxies
from imgpool.web.security import HEADERS, Guard

API_UPLOAD = "/api/images"
UPLOADS = {API_UPLOAD, "/upload"}
to_json = json.JSONEncoder(separators=(",", ":")).encode  # as Flask writes it
HEADERS_OF_ALL = "".join(
    f"{name}: {value}\r\n"
    for name, value in {"Content-Type": PROBLEM_JSON, "Cache-Control": "no-store", **HEADERS}.items()
)


class Gate:
    """What can be said of a request at its headers. Any thread."""

    def __init__(self, guard: Guard, service: Service, proxies: TrustedProxies, admission: Admission) -> None:
        self._guard, self._service = guard, service
        self._proxies, self._admission = proxies, admission

    def decide(self, environ: dict[str, Any]) -> Admitted | Refused | None:
        """A slot for an upload, or why it gets none; None when the application has to decide.

        A refusal is not counted yet. Changes the environment.
        """
        if environ["REQUEST_METHOD"] != "POST" or environ["PATH_INFO"] not in UPLOADS:
            return None
        self._proxies.apply(environ)
        request = Request(environ)
        if not self._guard.may_upload(request):
            return None
        try:
            return self._admission.admit(request)
        except Refused as refusal:
            return refusal

    def answer(self, environ: dict[str, Any], refusal: Refused) -> tuple[str, str, bytes] | None:
        """Status, header lines and body of a refusal; counts it. None: the application has to answer, with a page."""
        if environ["PATH_INFO"] != API_UPLOAD:
            return None
        self._service.count_refused(refusal)
        fields = problem_fields(refusal)
        name = clean_name(Request(environ).args.get("name", ""))
        body = to_json({**fields, "refused": [{"name": name, **fields}]}).encode() + b"\n"
        lines = f"{HEADERS_OF_ALL}Content-Length: {len(body)}\r\n"
        if refusal.retry_after_s is not None:
            lines += f"Retry-After: {refusal.retry_after_s}\r\n"
        return f"{refusal.status} {HTTPStatus(refusal.status).phrase}", lines, body

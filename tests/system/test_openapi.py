"""The API against its own description, by a tool that makes up requests; and the description against the routes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

from imgpool.config import Settings
from imgpool.service import Service
from imgpool.web import create_app
from pictures import photo
from serving import WAIT_S, Server

CONFIGURATION = """
hooks = "hooks"

[checks]
# 503 is an honest answer where it is described: the fuzzer fills the lab's line.
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", 503]
# 412 is tus's word for a request that does not say which version it speaks.
negative_data_rejection.expected-statuses = ["4xx", "5xx"]
missing_required_header.expected-statuses = [400, 401, 403, 406, 412, 415, 422]

[[operations]]
include-name = "POST /api/uploads"
checks.negative_data_rejection.enabled = false  # a header that nobody knows is taken for bad data
"""
KNOWN_UPLOAD = """
[[operations]]
include-name = "{method} /api/uploads/{{upload_id}}"
parameters = {{ "path.upload_id" = "{upload_id}" }}
checks.negative_data_rejection.enabled = false
"""
HOOKS = """
import schemathesis
schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")
"""


def test_every_route_is_described_and_the_other_way_round(tmp_path: Path) -> None:
    app = create_app(Settings(data_dir=tmp_path), Service(Settings(data_dir=tmp_path)))
    routes = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith(("api.", "tus."))
        # Flask adds these two to each route; in tus they have a meaning.
        for method in (rule.methods or set()) - (set() if rule.endpoint.startswith("tus.") else {"HEAD", "OPTIONS"})
    }
    description = json.loads((Path(create_app.__code__.co_filename).parent / "openapi.json").read_text())
    described = {
        (path, method)
        for path, operations in description["paths"].items()
        for method in operations
        if method != "parameters"
    }
    assert routes == described


def test_answers_are_as_described(tmp_path: Path) -> None:
    """schemathesis sends several hundred requests, good and bad, and compares status codes, types and schemas."""
    (tmp_path / "hooks.py").write_text(HOOKS)
    with Server(tmp_path / "data", "--workers", "1") as server:
        for picture in (photo(), photo()[:9000]):
            assert server.upload(picture, "sample")[0] == 202
        server.wait_until_settled()
        known = [KNOWN_UPLOAD.format(method=method, upload_id=begin(server)) for method in ("HEAD", "PATCH", "DELETE")]
        (tmp_path / "schemathesis.toml").write_text("".join([CONFIGURATION, *known]))
        done = subprocess.run(
            [
                *(str(Path(sys.executable).parent / "schemathesis"), "run", f"{server.url}/api/openapi.json"),
                *("--phases", "examples,coverage,fuzzing,stateful", "--max-examples", "15", "--seed", "1"),
                *("--generation-database", "none", "--no-color", "--workers", "1"),
                *("--request-timeout", str(WAIT_S), "--suppress-health-check", "too_slow"),  # as the machine may be
                # A schema cannot say "these bytes are a JPEG", so well-formed uploads are refused with 415.
                *("--exclude-checks", "positive_data_acceptance"),
            ],
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        server.steer(paused=False)  # as one of them may have left it, with an image put back into the queue
        counts = server.wait_until_settled()
        assert counts["accepted"] == counts["done"] + counts["failed"] + counts["deleted"]
        since = server.get("/api/status")["since_start"]
        assert since["received"] == since["accepted"] + since["refused"] > 0


def begin(server: Server) -> str:
    """Begin a resumable upload; returns its ID."""
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "1000000"}
    request = urllib.request.Request(f"{server.url}/api/uploads", headers=headers, method="POST")
    with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
        return str(answer.headers["Location"]).split("/")[-1]

"""The API against its own description, by a tool that makes up requests; and the description against the routes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from imgpool.config import Settings
from imgpool.service import Service
from imgpool.web import create_app
from pictures import photo
from serving import Server


def test_every_route_is_described_and_the_other_way_round(tmp_path: Path) -> None:
    app = create_app(Settings(data_dir=tmp_path), Service(Settings(data_dir=tmp_path)))
    routes = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith("api.")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
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
    # 503 is an honest answer where it is described: the fuzzer fills the lab's line.
    (tmp_path / "schemathesis.toml").write_text(
        '[checks.not_a_server_error]\nexpected-statuses = ["2xx", "3xx", "4xx", 503]\n'
    )
    with Server(tmp_path / "data", "--workers", "1") as server:
        for picture in (photo(), photo()[:9000]):
            assert server.upload(picture, "sample")[0] == 202
        server.wait_until_settled()
        done = subprocess.run(
            [
                *(str(Path(sys.executable).parent / "schemathesis"), "run", f"{server.url}/api/openapi.json"),
                *("--phases", "examples,coverage,fuzzing,stateful", "--max-examples", "15", "--seed", "1"),
                *("--generation-database", "none", "--no-color", "--workers", "1"),
                # A schema cannot say "these bytes are a JPEG", so well-formed uploads are refused with 415.
                *("--exclude-checks", "positive_data_acceptance"),
            ],
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        counts = server.wait_until_settled()
        assert counts["accepted"] == counts["done"] + counts["failed"] + counts["deleted"]
        since = server.get("/api/status")["since_start"]
        assert since["received"] == since["accepted"] + since["refused"] > 0

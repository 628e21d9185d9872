"""The Flask half: keeps the upload as a file, sends a task, answers for its state."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

from celery.result import AsyncResult
from flask import Flask, request
from tasks import app as celery
from tasks import make_variants

directory = Path(os.environ["PEER_DIRECTORY"])
app = Flask(__name__)
STATES = {"SUCCESS": "done", "FAILURE": "failed"}


@app.post("/api/images")
def upload() -> tuple[dict[str, object], int]:
    received_at = datetime.now(UTC)
    image_id = os.urandom(16).hex()
    path = directory / image_id
    with path.open("wb") as file:
        shutil.copyfileobj(request.stream, file)
    make_variants.apply_async((str(path),), task_id=f"{image_id}-{received_at.timestamp()}")
    return {"images": [{"id": f"{image_id}-{received_at.timestamp()}"}]}, 202


@app.get("/api/images/<image_id>")
def image(image_id: str) -> dict[str, object]:
    result = AsyncResult(image_id, app=celery)
    received_at = datetime.fromtimestamp(float(image_id.partition("-")[2]), UTC)
    done_at = result.date_done
    if isinstance(done_at, datetime) and done_at.tzinfo is None:
        done_at = done_at.replace(tzinfo=UTC)
    return {
        "id": image_id,
        "state": STATES.get(result.state, "queued"),
        "received_at": received_at.isoformat(),
        "finished_at": done_at.isoformat() if isinstance(done_at, datetime) else None,
    }


@app.get("/api/status")
def status() -> dict[str, object]:
    return {}

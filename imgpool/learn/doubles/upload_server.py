"""The part that both doubles share: HTTP, and what is done with one image. They differ in *when* it is done.

Owns the states of the images, in memory: these servers keep no records. Never says no to an upload.
"""

from __future__ import annotations

import os
import secrets
import shutil
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import click
from flask import Flask, abort, request
from werkzeug.serving import make_server

from imgpool.imaging.model import Limits
from imgpool.imaging.pipeline import make_variants
from imgpool.imaging.recipe import DEFAULT_RECIPE, parse_recipe
from imgpool.learn.doubles.memory import kill_at, memory_bytes
from imgpool.values import size

Start = Callable[[Callable[[], None]], None]


def make_app(data_dir: Path, start: Start) -> Flask:
    """The application; `start(work)` has `work()` called some time, in some thread, and returns at once."""
    app = Flask(__name__)
    recipe, limits = parse_recipe(DEFAULT_RECIPE), Limits()
    states: dict[str, str] = {}

    @app.post("/api/images")
    def upload() -> tuple[dict[str, object], int]:
        image_id = secrets.token_hex(16)
        original = data_dir / image_id
        if "file" in request.files:
            request.files["file"].save(original)
        else:
            with original.open("wb") as file:
                shutil.copyfileobj(request.stream, file)
        states[image_id] = "queued"
        start(lambda: process(image_id, original))
        return {"images": [{"id": image_id}]}, 202

    def process(image_id: str, original: Path) -> None:
        states[image_id] = "processing"
        into = data_dir / f"{image_id}-variants"
        into.mkdir()
        try:
            make_variants(original, into, recipe, limits, sync=False)
            states[image_id] = "done"
        except Exception:
            states[image_id] = "failed"

    @app.get("/api/images/<image_id>")
    def image(image_id: str) -> dict[str, str]:
        if image_id not in states:
            abort(404)
        return {"id": image_id, "state": states[image_id]}

    @app.get("/api/status")
    def status() -> dict[str, int]:
        number = Counter(list(states.values()))
        return {
            "accepted": number.total(),
            "done": number["done"],
            "failed": number["failed"],
            "in_flight": number["queued"] + number["processing"],
            "threads": threading.active_count(),
            "memory_bytes": memory_bytes(os.getpid()),
        }

    return app


def run(name: str, start: Start) -> None:
    """The program: reads the options, serves until it is stopped or killed."""

    @click.command()
    @click.option("--port", default=0, help="0 takes a free one")
    @click.option("--data-dir", required=True, type=click.Path(path_type=Path), help="for originals and variants")
    @click.option("--memory-bytes", metavar="SIZE", help="killed when it uses more, as 512MiB; default: no limit")
    def serve(port: int, data_dir: Path, memory_bytes: str | None) -> None:
        data_dir.mkdir(parents=True, exist_ok=True)
        if memory_bytes is not None:
            try:
                kill_at(size(64 * 1024**2)(memory_bytes))
            except ValueError as error:
                raise click.UsageError(f"--memory-bytes: {memory_bytes!r} is not allowed; allowed: {error}") from None
        server = make_server("127.0.0.1", port, make_app(data_dir, start), threaded=True)
        click.echo(f"{name}: serving on http://127.0.0.1:{server.port}")
        server.serve_forever()

    serve()

"""The learn page and its lab: an essay, programs that run on request, and their line of waiting learners.

Owns how the lab is asked and what it answers. The lab itself, and what runs in it, is `imgpool.learn.lab`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, cast

from flask import Flask, Response, current_app, jsonify, render_template, request

from imgpool.errors import Draining
from imgpool.imaging.samples import sample_images
from imgpool.learn.catalogue import EXERCISES, LESSONS
from imgpool.learn.lab import flood
from imgpool.learn.lab.experiment import PROGRAM_FILES, from_json
from imgpool.learn.lab.line import Lab, LabFull, Perform, Seen
from imgpool.learn.lab.listing import Line, listing
from imgpool.learn.lab.process import run_in_child
from imgpool.service import Service
from imgpool.web.api import api
from imgpool.web.pages import pages
from imgpool.web.problems import problem
from imgpool.web.sight import service, told_status

MOST_REQUEST_BYTES = 16 * 1024
RETRY_AFTER_S = 5
CHILD = "imgpool.learn.lab.child"
FLOOD_CHILD = "imgpool.learn.lab.flood"
FLOOD_SAMPLE = "aurora.avif"  # 64 kB to send, 67 ms of a processor to make variants of: a flood that a phone can send


def add_lab(app: Flask, service: Service) -> None:
    """Give the application a lab, which ends with the service. Starts nothing."""
    app.extensions["imgpool.lab"] = Lab(service.stopping)


@pages.get("/learn")
def learn_page() -> str:
    """The essay; without JavaScript its text and programs."""
    return render_template(
        "learn.html",
        lessons=LESSONS,
        exercises=EXERCISES,
        listing=_listing,
        file_name=lambda program: PROGRAM_FILES[program].name,
        flood_memory_bytes=flood.MEMORY_BYTES,
        flood_photo=FLOOD_SAMPLE,
        status=told_status(),
    )


@api.post("/api/lab/runs")
def ask_for_run() -> Response:
    """Have a program run when its turn comes: 202 with the place in the line."""
    try:
        experiment = from_json(_json_object())
    except ValueError as error:
        return problem(400, "Not an experiment", str(error))
    asked = {"photo": str(_sample()), "experiment": experiment.as_json()}
    return _ask(lambda ctx: run_in_child(CHILD, asked, ctx))


@api.post("/api/lab/floods")
def ask_for_flood() -> Response:
    """Have a server without protection flooded when its turn comes: as a run, and looked at as one."""
    try:
        wanted = flood.from_json(_json_object())
    except ValueError as error:
        return problem(400, "Not a flood", str(error))
    asked = {"photo": str(_sample()), "flood": {"double": wanted.double, "arrivals_ms": wanted.arrivals_ms}}
    return _ask(lambda ctx: run_in_child(FLOOD_CHILD, asked, ctx))


@api.get("/api/lab/runs/<run_id>")
def run(run_id: str) -> Response:
    """How it stands with a run, and its trace once it is done."""
    seen = _lab().look(run_id)
    if seen is None:
        return problem(404, "No such run", "The lab does not know it; of those that have ended it keeps the last few.")
    return jsonify(_run_json(seen))


def _ask(perform: Perform) -> Response:
    if not service().accepting:
        raise Draining("The server is starting or stopping: try again in a moment.", retry_after_s=RETRY_AFTER_S)
    try:
        seen = _lab().ask(perform)
    except LabFull as error:
        response = problem(503, "The lab is full", str(error))
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
        return response
    response = jsonify(_run_json(seen))
    response.status_code = 202
    return response


def _run_json(seen: Seen) -> dict[str, Any]:
    return {
        "id": seen.id,
        "state": seen.state,
        "place": seen.place,
        "url": f"/api/lab/runs/{seen.id}",
        "error": seen.error,
        "result": seen.result,
    }


def _json_object() -> dict[str, Any]:
    """The request's JSON; raises ValueError when it is no object, and Flask's own 400, 413 and 415."""
    request.max_content_length = MOST_REQUEST_BYTES
    given = request.get_json()
    if not isinstance(given, dict):
        raise ValueError("The request's JSON is no object.")
    return given


def _lab() -> Lab:
    return cast(Lab, current_app.extensions["imgpool.lab"])


def _sample() -> Path:
    return next(path for path in sample_images() if path.name == FLOOD_SAMPLE)


@cache
def _listing(program: str) -> list[Line]:
    return listing(PROGRAM_FILES[program])

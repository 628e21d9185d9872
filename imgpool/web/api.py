"""The JSON API. Every route here is described in `openapi.json` beside this file, and a test says so."""

from __future__ import annotations

import hashlib
import json
import math
from importlib import resources
from typing import Any, cast

from flask import Blueprint, Response, current_app, jsonify, request

from imgpool.errors import Draining
from imgpool.service import State
from imgpool.service.usage import usage
from imgpool.web.admission import Admission
from imgpool.web.metrics import metrics_text
from imgpool.web.problems import problem, problem_fields, refusal_response, with_retry_after
from imgpool.web.receive import Received, receive
from imgpool.web.represent import history_json, image_json, image_url
from imgpool.web.shared import for_watchers
from imgpool.web.sight import (
    delete_visible,
    images_by_id,
    page_arguments,
    page_of_images,
    service,
    told_status,
    visible,
)
from imgpool.web.variants import send_variant
from imgpool.web.visitors import visitor

api = Blueprint("api", __name__)


def admission() -> Admission:
    """Who gets a slot."""
    return cast(Admission, current_app.extensions["imgpool.admission"])


@api.post("/api/images")
def upload() -> Response:
    """Take images: 202 when at least one was accepted, else the first refusal as a problem."""
    received = receive(service(), admission(), request, visitor().owner)
    refused = [{"name": name or "unnamed", **problem_fields(refusal)} for name, refusal in received.refused]
    if not received.accepted:
        return refusal_response(received.refused[0][1], refused=refused)
    response = jsonify({"images": accepted_json(received), "refused": refused})
    response.status_code = 202
    for _, refusal in received.refused:
        with_retry_after(response, refusal)
    return response


def accepted_json(received: Received) -> list[dict[str, Any]]:
    """The accepted images in short; they are queued at this moment."""
    return [
        {"id": image.id, "name": image.name, "state": "queued", "url": image_url(image.id)}
        for image in received.accepted
    ]


@api.get("/api/images")
def images() -> Response:
    """A page of images, newest first; or the images that are asked for."""
    try:
        state, limit, before = page_arguments()
        if (ids := request.args.get("ids")) is not None:
            return cast(Response, tagged({"images": images_by_id(ids), "next": None}).make_conditional(request))
    except ValueError as error:
        return problem(400, "Bad query", str(error))

    return for_watchers(lambda: tagged(told_page(state, limit, before)))


@api.get("/api/images/<image_id>")
def image(image_id: str) -> Response:
    """One image."""
    record = visible(image_id)
    return for_watchers(lambda: tagged(image_json(record))) if record else no_such_image()


def no_such_image() -> Response:
    """404 for an image ID without a record."""
    return problem(404, "No such image", "There is no image with this ID; it may have been deleted.")


@api.get("/api/images/<image_id>/<variant>")
def variant(image_id: str, variant: str) -> Response:
    """The file of a variant: immutable, so it is asked for once."""
    record = visible(image_id)
    if record is None:
        return no_such_image()
    redirects = service().settings.variant_delivery == "redirect"
    return send_variant(service().files, record, variant, redirects=redirects)


@api.delete("/api/images/<image_id>")
def delete(image_id: str) -> Response:
    """Forget an image: original, variants, record."""
    return Response(status=204) if delete_visible(image_id) else no_such_image()


@api.get("/api/status")
def status() -> Response:
    """The whole service at a glance; with `images` a page of them comes along, so that a watcher asks once for both."""
    try:
        asked = page_arguments()
    except ValueError as error:
        return problem(400, "Bad query", str(error))

    def told() -> Response:
        whole = told_status()
        if "images" in request.args:
            whole["images"] = told_page(*asked)
        return tagged(whole, unless_changed="uptime_s")

    return for_watchers(told)


@api.get("/api/history")
def history() -> Response:
    """The last five minutes, a sample a second, of which `since` leaves out the earlier ones."""
    try:
        since = float(request.args.get("since", "0"))
    except ValueError:
        since = math.nan
    if not math.isfinite(since):
        return problem(400, "Bad query", "since is a number of seconds since 1970.")
    return for_watchers(lambda: tagged(history_json(service().samples(since))))


@api.get("/metrics")
def metrics() -> Response:
    """The same for Prometheus."""
    text, content_type = metrics_text(service().status(), usage())
    return Response(text, content_type=content_type)


@api.get("/healthz")
def healthz() -> Response:
    """The process lives."""
    return Response("ok\n", mimetype="text/plain")


@api.get("/readyz")
def readyz() -> Response:
    """Whether an upload would be taken now."""
    try:
        status = service().status()
    except Draining as refusal:
        return refusal_response(refusal)
    if status.accepting:
        return Response("ready\n", mimetype="text/plain")
    response = problem(503, "Not ready", f"An upload would be refused now: {status.reason}.")
    response.headers["Retry-After"] = "1"
    return response


@api.get("/api/openapi.json")
def openapi() -> Response:
    """The description of this API."""
    return Response(resources.files(__package__).joinpath("openapi.json").read_bytes(), mimetype="application/json")


def told_page(state: State | None, limit: int, before: int | None) -> dict[str, Any]:
    """A page of the visitor's images and the cursor of the next."""
    found, following = page_of_images(state, limit, before)
    return {"images": found, "next": following}


def tagged(value: dict[str, Any], *, unless_changed: str | None = None) -> Response:
    """JSON that a poller revalidates for the price of a 304. `unless_changed` names a key that the ETag ignores."""
    compared = {key: each for key, each in value.items() if key != unless_changed}
    response = jsonify(value)
    response.set_etag(hashlib.blake2b(json.dumps(compared).encode(), digest_size=16).hexdigest())
    response.headers["Cache-Control"] = "no-cache"
    return response

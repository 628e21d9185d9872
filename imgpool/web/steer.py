"""Steering by page and program: the pool's workers, places and pause; second chances; deleting many.

The pool is for those with the right to steer; retrying and deleting for whoever may see the image (`security` says
which endpoints are whose). Each form does without JavaScript and leads back to where its effect can be seen.
"""

from __future__ import annotations

from typing import Any, cast

from flask import Response, jsonify, redirect, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from imgpool.errors import NotAllowed
from imgpool.service.records import ImageRecord
from imgpool.web.api import api, no_such_image
from imgpool.web.pages import pages
from imgpool.web.problems import problem
from imgpool.web.represent import image_json
from imgpool.web.shared import shared
from imgpool.web.sight import delete_visible, service, told_status, visible

MOST_BYTES = 128 * 1024
MOST_IDS = 1000
NOT_FAILED = "Only a failed image can be tried again; this one is {}."


@api.patch("/api/pool")
def steer_pool() -> Response:
    """Change workers, queue_capacity or paused: all of what is given, or nothing."""
    given = _json_object()
    kinds: dict[str, type] = {"workers": int, "queue_capacity": int, "paused": bool}
    if not given or not all(name in kinds and type(value) is kinds[name] for name, value in given.items()):
        raise NotAllowed("Send an object with workers, queue_capacity (whole numbers) or paused (true or false).")
    _steer(**given)
    return jsonify(told_status())


@api.post("/api/retries")
def retry() -> Response:
    """Put a failed image back into the queue, for a slot like any upload's."""
    image_id = _json_object().get("id")
    if not isinstance(image_id, str):
        raise NotAllowed("Send an object with id: the ID of a failed image.")
    record = visible(image_id)
    if record is None:
        return no_such_image()
    if not service().retries.retry(image_id):
        return problem(409, "Not failed", NOT_FAILED.format(record.state))
    response = jsonify(image_json(visible(image_id) or record))
    response.status_code = 202
    return response


@api.post("/api/retries/all")
def retry_all() -> Response:
    """Put all failed images back, as room comes."""
    response = jsonify({"failed": service().retries.retry_all()})
    response.status_code = 202
    return response


@api.post("/api/deletions")
def delete_many() -> Response:
    """Delete the images whose IDs are given; those that are not there are named."""
    ids = _json_object().get("ids")
    if not (isinstance(ids, list) and 1 <= len(ids) <= MOST_IDS and all(isinstance(each, str) for each in ids)):
        raise NotAllowed(f"Send an object with ids: a list of 1 to {MOST_IDS} image IDs.")
    deleted = {image_id for image_id in dict.fromkeys(ids) if delete_visible(image_id)}
    shared().forget()
    return jsonify(
        {
            "deleted": sorted(deleted),
            "missing": [image_id for image_id in dict.fromkeys(ids) if image_id not in deleted],
        }
    )


@pages.post("/pool")
def steer_form() -> BaseResponse:
    """The forms beside the drawing of the pool."""
    given: dict[str, Any] = {}
    for name in ("workers", "queue_capacity"):
        if name in _form():
            given[name] = _whole(name, _form()[name])
    if "paused" in _form():
        given["paused"] = _form()["paused"] == "yes"
    _steer(**given)
    return redirect(url_for("pages.status_page"), 303)


@pages.post("/images/<image_id>/retry")
def retry_image(image_id: str) -> BaseResponse:
    """The button of a failed image."""
    record: ImageRecord | None = visible(image_id)
    if record is None:
        return no_such_image()
    if not service().retries.retry(image_id):
        return problem(409, "Not failed", NOT_FAILED.format(record.state))
    return redirect(url_for("pages.image_page", image_id=image_id), 303)


@pages.post("/images/retry")
def retry_images() -> BaseResponse:
    """The button of all failed images."""
    service().retries.retry_all()
    return redirect(url_for("pages.status_page"), 303)


@pages.post("/images/delete")
def delete_images() -> BaseResponse:
    """The form around the cards: deletes those that are ticked."""
    for image_id in _form().getlist("id")[:MOST_IDS]:
        delete_visible(image_id)
    return redirect(url_for("pages.status_page", state=request.args.get("state")), 303)


def not_allowed(error: NotAllowed) -> Response:
    """A wish that cannot be fulfilled: 400, and the sentence says what could."""
    return problem(400, "Not possible", str(error))


def _steer(workers: int | None = None, queue_capacity: int | None = None, paused: bool | None = None) -> None:
    steering = service().steering
    steering.check(workers, queue_capacity)  # first all of it: half of a change would be a surprise
    if workers is not None:
        steering.set_workers(workers)
    if queue_capacity is not None:
        steering.set_queue_capacity(queue_capacity)
    if paused is not None:
        (steering.pause if paused else steering.resume)()
    shared().forget()


def _whole(name: str, given: str) -> int:
    if not (given.isascii() and given.isdigit() and len(given) <= 9):
        raise NotAllowed(f"{name.replace('_', ' ').capitalize()}: {given[:20]!r} is no whole number.")
    return int(given)


def _form() -> Any:
    request.max_content_length = MOST_BYTES
    return request.form


def _json_object() -> dict[str, Any]:
    request.max_content_length = MOST_BYTES
    given = request.get_json()
    if not isinstance(given, dict):
        raise NotAllowed("The request's JSON is no object.")
    return cast(dict[str, Any], given)

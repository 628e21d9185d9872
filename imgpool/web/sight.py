"""What of the service the visitor of this request gets to see: pages and API ask here, and nowhere else.

Every function is for code that answers a request, blocks on the records at most, and raises as `Service` does.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from flask import current_app, request

from imgpool.service import STATES, Service, State
from imgpool.service.files import is_image_id
from imgpool.service.records import ImageRecord
from imgpool.web.represent import image_json, status_json
from imgpool.web.visitors import visitor

MAX_PAGE = 200
DEFAULT_PAGE = 50
MAX_IDS = 100  # a longer query would not fit into a request's first line


def service() -> Service:
    """The service behind this application."""
    return cast(Service, current_app.extensions["imgpool"])


def page_arguments() -> tuple[State | None, int, int | None]:
    """state, limit and cursor of the query; raises ValueError with a sentence."""
    state, limit, cursor = (request.args.get(name) for name in ("state", "limit", "cursor"))
    if state is not None and state not in STATES:
        raise ValueError(f"state is one of {', '.join(STATES)}.")
    if limit is not None and not (
        limit.isascii() and limit.isdigit() and len(limit) <= 9 and 1 <= int(limit) <= MAX_PAGE
    ):
        raise ValueError(f"limit is a whole number from 1 to {MAX_PAGE}.")
    if cursor is not None and not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 18):
        raise ValueError("cursor is what an earlier answer gave as next.")
    return state, int(limit or DEFAULT_PAGE), int(cursor) if cursor else None


def page_of_images(state: State | None, limit: int, before: int | None) -> tuple[list[dict[str, Any]], str | None]:
    """The visitor's images as JSON, and the cursor of the next page when there is one."""
    records = service().page(state, limit + 1, before, visitor().sees_only)
    more = len(records) > limit
    records = records[:limit]
    return [image_json(record) for record in records], str(records[-1].sequence) if more else None


def images_by_id(ids: str) -> list[dict[str, Any]]:
    """Those of the comma-separated images that the visitor may see, with their `place` in the queue; raises ValueError
    with a sentence.
    """
    asked = ids.split(",")
    if len(asked) > MAX_IDS or not all(is_image_id(each) for each in asked):
        raise ValueError(f"ids is at most {MAX_IDS} image IDs, separated by commas.")
    records = [record for each in asked if (record := visible(each)) is not None]
    queued = any(record.state == "queued" for record in records)
    places = service().places() if queued else {}
    return [{**image_json(record), "place": places.get(record.id)} for record in records]


def visible(image_id: str) -> ImageRecord | None:
    """The record, or None when there is none for this visitor: somebody else's image is as one that never was."""
    record = service().get(image_id)
    return record if record is not None and visitor().may_see(record) else None


def delete_visible(image_id: str) -> bool:
    """Delete an image that the visitor may see: its own, or any with the right to steer."""
    return visible(image_id) is not None and service().delete(image_id)


def told_status() -> dict[str, Any]:
    """The status as JSON. Totals are everybody's, since they show how the pool does; of the images that the workers
    have now, a visitor learns the IDs of those it may see.
    """
    status = service().status()
    if not visitor().may_steer:
        seen = (
            replace(lane, image=lane.image if lane.image and visible(lane.image) else None) for lane in status.lanes
        )
        peers = (
            replace(peer, image=peer.image if peer.image and visible(peer.image) else None) for peer in status.peers
        )
        status = replace(status, lanes=tuple(seen), peers=tuple(peers))
    return status_json(status, service())

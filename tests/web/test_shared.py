"""Answers shared by watchers: young, of the same rights, and forgotten when somebody changes something."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Response

from imgpool.web import shared
from imgpool.web.shared import MOST, SHARED_S, Shared
from webclient import Web

Make = Callable[..., Web]
TOKEN = "a-token-for-tests"


def test_an_answer_is_made_once_in_a_while() -> None:
    now = 0.0
    made = 0
    answers = Shared(lambda: now)

    def make() -> Response:
        nonlocal made
        made += 1
        response = Response(str(made))
        response.set_etag(str(made))
        return response

    assert answers.get(("a",), make) == answers.get(("a",), make) == (b"1", "1")
    assert answers.get(("b",), make) == (b"2", "2")
    now = SHARED_S
    assert answers.get(("a",), make) == (b"3", "3")
    answers.forget()
    assert answers.get(("a",), make) == (b"4", "4")
    for number in range(3 * MOST):
        answers.get((number,), make)
    assert len(answers._answers) <= MOST


@pytest.fixture
def _shared_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer stays the same until something is changed, and not only for a quarter of a second."""
    monkeypatch.setattr(shared, "SHARED_S", 3600.0)


@pytest.mark.usefixtures("_shared_for_long")
def test_watchers_get_304_and_see_what_was_steered_at_once(web: Make) -> None:
    site = web()
    told = site.client.get("/api/status?watch")
    assert told.json.keys() == site.status().keys()
    again = site.client.get("/api/status?watch", headers={"If-None-Match": told.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    site.client.patch("/api/pool", json={"paused": True})
    assert site.client.get("/api/status?watch").json["pool"]["paused"] is True


def test_nobody_is_answered_with_what_another_may_see(web: Make, images: dict[str, bytes]) -> None:
    site = web(token=TOKEN, anonymous_uploads=True)
    steer = {"Authorization": f"Bearer {TOKEN}"}
    assert site.raw(images["tiny"], headers=steer).status_code == 202
    site.service.settled()
    assert len(site.client.get("/api/images?watch", headers=steer).json["images"]) == 1
    assert site.client.get("/api/images?watch").json["images"] == []
    assert len(site.client.get("/api/status?watch&images", headers=steer).json["images"]["images"]) == 1
    assert site.client.get("/api/status?watch&images").json["images"]["images"] == []


@pytest.mark.usefixtures("_shared_for_long")
def test_the_status_brings_a_page_of_images_along(web: Make, images: dict[str, bytes]) -> None:
    site = web()
    for _ in range(3):
        assert site.raw(images["tiny"]).status_code == 202
    site.service.settled()
    where = "/api/status?watch&images&limit=2&state=done"
    both = site.client.get(where)
    assert both.json["images"] == site.client.get("/api/images?limit=2&state=done").json
    assert "images" not in site.client.get("/api/status").json
    same = site.client.get(
        "/api/status?watch&images&limit=2&state=done", headers={"If-None-Match": both.headers["ETag"]}
    )
    assert same.status_code == 304
    assert site.client.get("/api/status?images&limit=0").status_code == 400

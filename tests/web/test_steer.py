"""Steering by program and by form: what is changed, what is not possible, and who may not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from webclient import Web

Make = Callable[..., Web]
TOKEN, UPLOAD_TOKEN = "a-token-for-tests", "another-for-uploads"
STEER = {"Authorization": f"Bearer {TOKEN}"}
UPLOAD = {"Authorization": f"Bearer {UPLOAD_TOKEN}"}


def pool(site: Web) -> Any:
    return site.status()["pool"]


def test_the_pool_is_steered_by_program_and_the_answer_is_the_new_status(web: Make) -> None:
    site = web(workers=2, queue_capacity=8)
    answer = site.client.patch("/api/pool", json={"workers": 3, "queue_capacity": 5, "paused": True})
    assert answer.status_code == 200
    told = answer.json["pool"]
    assert (told["workers"], told["queue"]["capacity"], told["paused"]) == (3, 5, True)
    assert site.client.patch("/api/pool", json={"paused": False}).json["pool"]["paused"] is False
    assert (pool(site)["workers"], pool(site)["queue"]["capacity"]) == (3, 5)


@pytest.mark.parametrize(
    "wrong",
    [
        *({}, [], {"size": 2}, {"workers": 0}, {"workers": "2"}, {"workers": True}, {"paused": 1}),
        *({"queue_capacity": -1}, {"queue_capacity": 3, "workers": 10**6}),
    ],
    ids=str,
)
def test_what_is_not_possible_is_said_and_nothing_of_it_is_done(web: Make, wrong: Any) -> None:
    site = web(workers=2, queue_capacity=8)
    answer = site.client.patch("/api/pool", json=wrong)
    assert answer.status_code == 400
    assert answer.content_type == "application/problem+json"
    assert (pool(site)["workers"], pool(site)["queue"]["capacity"], pool(site)["paused"]) == (2, 8, False)


def test_what_is_queued_beyond_a_smaller_capacity_is_drawn(web: Make, images: dict[str, bytes]) -> None:
    site = web(workers=1, queue_capacity=4)
    site.client.patch("/api/pool", json={"paused": True})
    for _ in range(4):
        assert site.client.post("/api/images", data=images["tiny"]).status_code == 202
    site.client.patch("/api/pool", json={"queue_capacity": 2})
    queue = site.client.get("/status").text.split('data-channel="pool.queue"')[1].split("</div>")[0]
    assert queue.count('data-place="buffered"') == 4
    assert queue.count("data-place=") == 4


def test_the_forms_do_the_same_and_lead_to_the_status_page(web: Make) -> None:
    site = web(workers=1, queue_capacity=8)
    for form in ({"workers": "2"}, {"queue_capacity": "9"}, {"paused": "yes"}):
        answer = site.client.post("/pool", data=form)
        assert (answer.status_code, answer.headers["Location"]) == (303, "/status")
    assert (pool(site)["workers"], pool(site)["queue"]["capacity"], pool(site)["paused"]) == (2, 9, True)
    page = site.client.get("/status").text
    assert "The pool is paused" in page
    assert ">Resume<" in page
    site.client.post("/pool", data={"paused": "no"})
    wrong = site.client.post("/pool", data={"workers": "many"}, headers={"Accept": "text/html"})
    assert wrong.status_code == 400
    assert "no whole number" in wrong.text


def test_a_failed_image_is_retried_by_program_and_by_form(web: Make, images: dict[str, bytes]) -> None:
    site = web(workers=1)
    failed, done = site.done(images["truncated"]), site.done(images["tiny"])
    assert "Try again" in site.client.get(f"/images/{failed}").text
    answer = site.client.post("/api/retries", json={"id": failed})
    assert (answer.status_code, answer.json["id"]) == (202, failed)
    site.service.settled()
    answer = site.client.post(f"/images/{failed}/retry")
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/images/{failed}")
    site.service.settled()
    assert site.client.post("/api/retries/all").json == {"failed": 1}
    assert site.client.post("/images/retry").headers["Location"] == "/status"
    site.service.until(lambda: not site.status()["retrying"]["active"])
    assert site.service.settled().failed == 1
    assert site.client.post("/api/retries", json={"id": done}).status_code == 409
    assert site.client.post(f"/images/{done}/retry").status_code == 409
    assert site.client.post("/api/retries", json={"id": "0" * 32}).status_code == 404


def test_a_retry_without_room_is_refused_as_an_upload_is(web: Make, images: dict[str, bytes]) -> None:
    site = web(workers=1, queue_capacity=1)
    failed = site.done(images["truncated"])
    held = site.service.admit()
    answer = site.client.post("/api/retries", json={"id": failed})
    assert (answer.status_code, answer.json["type"]) == (503, "/problems/no-room")
    assert int(answer.headers["Retry-After"]) >= 1
    held.discard()
    assert site.client.get(f"/api/images/{failed}").json["state"] == "failed"


def test_many_are_deleted_at_once_and_those_that_are_not_there_are_named(web: Make, images: dict[str, bytes]) -> None:
    site = web(workers=1)
    first, second, third = (site.done(images["tiny"]) for _ in range(3))
    answer = site.client.post("/api/deletions", json={"ids": [first, "nothing", first]})
    assert answer.json == {"deleted": [first], "missing": ["nothing"]}
    answer = site.client.post("/images/delete?state=done", data={"id": [second, third]})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/status?state=done")
    assert site.service.records.counts().deleted == 3
    for wrong in ({"ids": []}, {"ids": [1]}, {"ids": ["a"] * 1001}, {}):
        assert site.client.post("/api/deletions", json=wrong).status_code == 400


def test_who_may_not_steer_sees_no_panel_and_retries_and_deletes_only_their_own(
    web: Make, images: dict[str, bytes]
) -> None:
    site = web(token=TOKEN, upload_token=UPLOAD_TOKEN, anonymous_uploads=True, workers=1)

    def upload(**given: Any) -> str:
        image_id: str = site.raw(images["truncated"], **given).json["images"][0]["id"]
        site.service.settled()
        return image_id

    owners, programs = upload(headers=STEER), upload(headers=UPLOAD)
    assert 'data-steer="' not in site.client.get("/status").text
    for method, path in (("PATCH", "/api/pool"), ("POST", "/pool"), ("POST", "/api/retries/all")):
        assert site.client.open(path, method=method, headers=UPLOAD, json={"paused": True}).status_code == 403
        assert site.client.open(path, method=method, json={"paused": True}).status_code == 401
    assert site.client.post("/api/retries", json={"id": programs}, headers=UPLOAD).status_code == 202
    assert site.client.post("/api/retries", json={"id": owners}, headers=UPLOAD).status_code == 404
    site.service.settled()
    both = {"ids": [owners, programs]}
    assert site.client.post("/api/deletions", json=both, headers=UPLOAD).json["deleted"] == [programs]
    assert site.client.patch("/api/pool", headers=STEER, json={"paused": False}).status_code == 200


def test_pages_of_other_sites_cannot_steer(web: Make) -> None:
    site = web()
    for path in ("/pool", "/images/retry", "/images/delete"):
        assert site.client.post(path, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert not pool(site)["paused"]

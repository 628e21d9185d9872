"""The JSON API, route by route, as the contract has it."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from doubles import WAIT_S, Gate, Watching
from imgpool.config import Settings
from imgpool.service.directory import Directory
from imgpool.web import create_app
from webclient import Web

Make = Callable[..., Web]
NOBODY = "0" * 32

IMAGE_KEYS = [
    "id", "name", "state", "bytes", "format", "width", "height", "received_at", "started_at", "finished_at", "wait_s",
    "service_s", "attempts", "error", "url", "cursor", "variants",
]  # fmt: skip


def assert_plain_problem(answer: Any, status: int) -> None:
    assert answer.status_code == status, answer.text
    assert answer.mimetype == "application/problem+json"
    told = answer.json
    assert set(told) >= {"type", "title", "status", "detail"}
    assert told["status"] == status
    assert told["detail"].endswith(".")


def test_one_image_done(web: Make, images: dict[str, bytes]) -> None:
    site = web()
    image_id = site.done(images["turned"], "turned.jpg")
    answer = site.client.get(f"/api/images/{image_id}")
    assert answer.status_code == 200
    assert answer.mimetype == "application/json"
    told = answer.json
    assert list(told) == IMAGE_KEYS
    assert (told["id"], told["name"], told["state"], told["attempts"]) == (image_id, "turned.jpg", "done", 1)
    assert (told["bytes"], told["format"], told["width"], told["height"]) == (len(images["turned"]), "jpeg", 240, 320)
    assert told["error"] is None
    for name in ("received_at", "started_at", "finished_at"):
        assert time.strptime(told[name][:19], "%Y-%m-%dT%H:%M:%S")
        assert told[name].endswith("Z")
    assert told["wait_s"] >= 0
    assert told["service_s"] > 0
    assert [list(each) for each in told["variants"]] == [["name", "width", "height", "bytes", "format", "url"]] * 2
    assert told["variants"][1]["url"] == f"/api/images/{image_id}/thumb"


def test_one_image_queued_then_processing_then_failed(web: Make, images: dict[str, bytes]) -> None:
    site = web(gate=(gate := Gate()), workers=1)
    first = site.raw(images["jpeg"]).json["images"][0]
    second = site.raw(images["truncated"]).json["images"][0]
    gate.wait_for(1)
    told = site.client.get(first["url"]).json
    assert (told["state"], told["finished_at"], told["variants"], told["attempts"]) == ("processing", None, [], 1)
    told = site.client.get(second["url"]).json
    assert (told["state"], told["started_at"], told["wait_s"], told["attempts"]) == ("queued", None, None, 0)
    assert_plain_problem(site.client.get(f"{second['url']}/thumb"), 404)
    gate.open()
    site.service.settled()
    told = site.client.get(second["url"]).json
    assert (told["state"], told["variants"]) == ("failed", [])
    assert told["error"].endswith(".")


@pytest.mark.parametrize(("name", "kind"), [("jpeg", "jpeg"), ("png", "webp")])
def test_a_variant(web: Make, images: dict[str, bytes], name: str, kind: str) -> None:
    site = web()
    image_id = site.done(images[name])
    made = site.client.get(f"/api/images/{image_id}").json["variants"][1]
    answer = site.client.get(made["url"], buffered=True)
    assert answer.status_code == 200
    assert answer.mimetype == f"image/{kind}" == f"image/{made['format']}"
    assert len(answer.data) == made["bytes"] == int(answer.headers["Content-Length"])
    with Image.open(io.BytesIO(answer.data)) as opened:
        assert opened.size == (made["width"], made["height"]) == (256, 192)
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    etag = answer.headers["ETag"]
    assert etag.startswith('"')
    again = site.client.get(made["url"], headers={"If-None-Match": etag}, buffered=True)
    assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", etag)
    head = site.client.head(made["url"], buffered=True)
    assert (head.status_code, head.data, head.headers["Content-Length"]) == (200, b"", str(made["bytes"]))


def test_parts_of_a_variant(web: Make, images: dict[str, bytes]) -> None:
    site = web()
    url = f"/api/images/{site.done(images['jpeg'])}/large"
    whole = site.client.get(url, buffered=True)
    size = len(whole.data)
    assert whole.headers["Accept-Ranges"] == "bytes"
    for asked, start, end in (
        ("0-9", 0, 9),
        ("10-", 10, size - 1),
        ("-5", size - 5, size - 1),
        ("0-99999999", 0, size - 1),
    ):
        part = site.client.get(url, headers={"Range": f"bytes={asked}"}, buffered=True)
        assert part.status_code == 206
        assert part.data == whole.data[start : end + 1]
        assert part.headers["Content-Range"] == f"bytes {start}-{end}/{size}"
    beyond = site.client.get(url, headers={"Range": f"bytes={size}-"})
    assert_plain_problem(beyond, 416)
    assert beyond.headers["Content-Range"] == f"bytes */{size}"
    changed = site.client.get(url, headers={"Range": "bytes=0-9", "If-Range": '"another"'}, buffered=True)
    assert (changed.status_code, len(changed.data)) == (200, size)


def test_with_a_token_variants_are_cached_by_nobody_else(web: Make, images: dict[str, bytes]) -> None:
    site = web(token="secret-enough")
    site.client.environ_base["HTTP_AUTHORIZATION"] = "Bearer secret-enough"
    answer = site.client.get(f"/api/images/{site.done(images['jpeg'])}/thumb", buffered=True)
    assert set(answer.headers["Cache-Control"].split(", ")) == {"private", "max-age=31536000", "immutable"}
    assert answer.data


def test_what_is_not_there_is_404(web: Make, images: dict[str, bytes]) -> None:
    site = web()
    image_id = site.done(images["jpeg"])
    for path in (
        f"/api/images/{NOBODY}",
        f"/api/images/{NOBODY}/thumb",
        f"/api/images/{image_id}/huge",
        f"/api/images/{image_id}/thumb.jpg",
        f"/api/images/{image_id}/..%2f..%2fimgpool.db",
        "/api/images/..%2f..%2fetc%2fpasswd/thumb",
        "/api/images/%00",
        "/api/images/%ed%a0%80",
        "/api/nothing",
    ):
        assert_plain_problem(site.client.get(path), 404)
    assert_plain_problem(site.client.delete(f"/api/images/{NOBODY}"), 404)
    (site.service.settings.output / image_id / "thumb.jpg").unlink()
    assert_plain_problem(site.client.get(f"/api/images/{image_id}/thumb"), 404)


def test_other_methods_are_405_and_told_what_is_allowed(web: Make) -> None:
    site = web()
    answer = site.client.put("/api/images")
    assert_plain_problem(answer, 405)
    assert "POST" in answer.headers["Allow"]


def test_deleting_forgets_everything(web: Make, images: dict[str, bytes]) -> None:
    site = web()
    image_id = site.done(images["jpeg"])
    answer = site.client.delete(f"/api/images/{image_id}")
    assert (answer.status_code, answer.data) == (204, b"")
    for path in (f"/api/images/{image_id}", f"/api/images/{image_id}/thumb"):
        assert_plain_problem(site.client.get(path), 404)
    assert site.client.get("/api/images").json == {"images": [], "next": None}
    assert site.status()["counts"]["deleted"] == 1
    assert_plain_problem(site.client.delete(f"/api/images/{image_id}"), 404)


class Undeletable(Directory):
    def delete(self, image_id: str) -> None:
        raise OSError(5, "Input/output error")


def test_a_delete_that_the_disk_refuses_is_answered(web: Make, images: dict[str, bytes]) -> None:
    site = web(files=Undeletable)
    image_id = site.done(images["jpeg"])
    answer = site.client.delete(f"/api/images/{image_id}")
    assert answer.status_code == 503, "204 would say that the files are gone"
    assert answer.headers["Retry-After"] == "10"
    assert site.client.get(f"/api/images/{image_id}").json["state"] == "done", "it can be asked again"


def test_the_list_is_newest_first_and_complete_while_new_ones_come_in(web: Make, images: dict[str, bytes]) -> None:
    site = web(queue_capacity=50)
    first = [site.raw(images["tiny"], f"{number}.bmp").json["images"][0]["id"] for number in range(7)]
    seen: list[str] = []
    query = "limit=3"
    pages = 0
    while True:
        answer = site.client.get(f"/api/images?{query}").json
        assert set(answer) == {"images", "next"}
        seen += [image["id"] for image in answer["images"]]
        pages += 1
        site.raw(images["tiny"], "newer.bmp")
        if answer["next"] is None:
            break
        query = f"limit=3&cursor={answer['next']}"
    assert seen == first[::-1]
    assert pages == 3
    assert list(answer["images"][0]) == IMAGE_KEYS
    assert len(site.client.get("/api/images").json["images"]) == 10
    site.service.settled()


def test_a_page_that_ends_just_with_the_last_has_no_next(web: Make, images: dict[str, bytes]) -> None:
    site = web()
    for _ in range(3):
        site.raw(images["tiny"])
    assert site.client.get("/api/images?limit=3").json["next"] is None
    assert site.client.get("/api/images?limit=2").json["next"] is not None
    site.service.settled()


def test_the_list_by_state(web: Make, images: dict[str, bytes]) -> None:
    site = web()
    done, failed = site.done(images["jpeg"]), site.done(images["truncated"])
    for state, ids in (("done", [done]), ("failed", [failed]), ("queued", []), ("processing", [])):
        told = site.client.get(f"/api/images?state={state}").json
        assert [image["id"] for image in told["images"]] == ids


@pytest.mark.parametrize(
    "query",
    [
        "state=lost", "state=DONE", "limit=0", "limit=-1", "limit=201", "limit=ten", "limit=1.5", "limit=%D9%A3",
        "limit=99999999999999999999", "limit=0000000011000", "limit=000000001" + "9" * 30, "cursor=abc", "cursor=-1",
        "cursor=" + "9" * 30, "cursor=%C2%B2",
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/api/images", "/status"])
def test_a_bad_query_is_400(web: Make, path: str, query: str) -> None:
    answer = web().client.get(f"{path}?{query}")
    assert_plain_problem(answer, 400)


def test_the_list_and_an_image_are_revalidated(web: Make, images: dict[str, bytes]) -> None:
    site = web()
    image_id = site.done(images["tiny"])
    for path in ("/api/images", f"/api/images/{image_id}"):
        answer = site.client.get(path)
        assert answer.headers["Cache-Control"] == "no-cache"
        again = site.client.get(path, headers={"If-None-Match": answer.headers["ETag"]})
        assert (again.status_code, again.data) == (304, b"")
    before = site.client.get("/api/images").headers["ETag"]
    site.done(images["tiny"])
    assert site.client.get("/api/images", headers={"If-None-Match": before}).status_code == 200


def test_the_status(web: Make, images: dict[str, bytes]) -> None:
    site = web(gate=(gate := Gate()), workers=1, queue_capacity=3)
    told = site.status()
    assert told["wait_s"] == {"estimate": None, "oldest": 0.0, "p50": None, "p99": None}
    for _ in range(3):
        site.raw(images["jpeg"])
    gate.wait_for(1)
    held = site.service.admit()
    site.raw(images["text"])
    told = site.status()
    assert set(told) >= {
        "accepting", "reason", "pool", "counts", "since_start", "refused_by", "rates", "wait_s", "service_s",
    }  # fmt: skip
    assert (told["accepting"], told["reason"]) == (False, "no_room")
    assert (told["pool"]["workers"], told["pool"]["busy"]) == (1, 1)
    assert told["pool"]["queue"] == {"capacity": 3, "buffered": 2, "reserved": 1}
    assert told["counts"] == {"accepted": 3, "queued": 2, "processing": 1, "done": 0, "failed": 0, "deleted": 0}
    assert told["since_start"] == {"received": 4, "accepted": 3, "refused": 1}
    assert told["refused_by"] == {"no_room": 1}
    assert set(told["rates"]) == {"arrivals_per_s", "done_per_s"}
    held.discard()
    gate.open()
    site.service.settled()
    site.service.until(lambda: site.service.measures.snapshot().done == 3)
    told = site.status()
    assert (told["accepting"], told["reason"], told["counts"]["done"]) == (True, None, 3)
    assert told["wait_s"]["p50"] >= 0
    assert told["service_s"]["p99"] > 0
    assert told["wait_s"]["estimate"] == 0


def test_an_unchanged_status_is_304(web: Make) -> None:
    site = web()
    site.service._door._free = (float("inf"), 1 << 40)  # or the machine's own disk changes it
    answer = site.client.get("/api/status")
    again = site.client.get("/api/status", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    site.raw(b"not an image")
    assert site.client.get("/api/status", headers={"If-None-Match": answer.headers["ETag"]}).status_code == 200


def test_healthy_and_ready(web: Make) -> None:
    site = web(queue_capacity=1)
    for path in ("/healthz", "/readyz"):
        answer = site.client.get(path)
        assert (answer.status_code, answer.mimetype) == (200, "text/plain")
    held = site.service.admit()
    answer = site.client.get("/readyz")
    assert_plain_problem(answer, 503)
    assert "Retry-After" in answer.headers
    assert site.client.get("/healthz").status_code == 200
    held.discard()
    assert site.client.get("/readyz").status_code == 200


def test_before_the_start_every_route_says_503_and_lives(settings: Callable[..., Settings]) -> None:
    service = Watching(settings())
    client = create_app(service.settings, service).test_client()
    assert client.get("/healthz").status_code == 200
    for path in (
        "/api/images",
        f"/api/images/{NOBODY}",
        f"/api/images/{NOBODY}/thumb",
        "/api/status",
        "/metrics",
        "/readyz",
    ):
        assert_plain_problem(client.get(path), 503)
    assert client.post("/api/images", data=b"x").status_code == 503
    assert client.delete(f"/api/images/{NOBODY}").status_code == 503
    assert client.get("/").status_code == 200
    assert client.get("/status").status_code == 503
    # What changes something: the parts that do it are not there yet.
    tus = {"Tus-Resumable": "1.0.0"}
    for method, path, given in (
        ("PATCH", "/api/pool", {"json": {"workers": 2}}),
        ("POST", "/api/retries", {"json": {"id": NOBODY}}),
        ("POST", "/api/retries/all", {"json": {}}),
        ("POST", "/images/retry", {}),
        ("OPTIONS", "/api/uploads", {}),
        ("POST", "/api/uploads", {"headers": tus | {"Upload-Length": "10"}}),
        ("HEAD", f"/api/uploads/{NOBODY}", {"headers": tus}),
    ):
        answer = client.open(path, method=method, **given)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5"), path


def test_after_the_end_too(web: Make, images: dict[str, bytes]) -> None:
    site = web()
    site.service.stop(WAIT_S)
    for path in ("/api/images", f"/api/images/{NOBODY}", "/api/status", "/metrics", "/readyz"):
        answer = site.client.get(path)
        assert_plain_problem(answer, 503)
        assert "Retry-After" in answer.headers
    assert site.raw(images["jpeg"]).status_code == 503


def test_the_description_is_served(web: Make) -> None:
    answer = web().client.get("/api/openapi.json")
    assert answer.status_code == 200
    assert answer.mimetype == "application/json"
    assert answer.json["openapi"].startswith("3.1")
    assert "/api/images" in answer.json["paths"]


@pytest.mark.parametrize("isolation", ["process"])
def test_it_all_works_with_decoder_children(web: Make, images: dict[str, bytes], isolation: str) -> None:
    site = web(isolation=isolation, workers=1)
    made = site.client.get(f"/api/images/{site.done(images['webp'])}/thumb", buffered=True)
    assert (made.status_code, made.mimetype) == (200, "image/jpeg")
    assert site.client.get(f"/api/images/{site.done(images['truncated'])}").json["state"] == "failed"


def test_images_by_their_ids_with_their_place_in_the_queue(web: Make, images: dict[str, bytes]) -> None:
    gate = Gate()
    site = web(workers=1, gate=gate)
    ids = [site.raw(images["jpeg"]).json["images"][0]["id"] for _ in range(3)]
    gate.wait_for(1)
    unknown = "0" * 32
    answer = site.client.get(f"/api/images?ids={','.join([ids[2], unknown, ids[0], ids[1]])}")
    told = [(image["id"], image["state"], image["place"]) for image in answer.json["images"]]
    assert told == [(ids[2], "queued", 2), (ids[0], "processing", None), (ids[1], "queued", 1)]
    assert answer.json["next"] is None
    assert site.client.get(f"/api/images?ids={ids[0]}", headers={"If-None-Match": "x"}).status_code == 200
    for bad in ("", "x", f"{ids[0]},", ",".join([ids[0]] * 101), ids[0].upper()):
        assert site.client.get(f"/api/images?ids={bad}").status_code == 400, bad
    assert site.client.get(f"/api/images?ids={ids[0]}&limit=none").status_code == 400


def test_the_history_is_told_as_columns_and_what_is_known_is_left_out(web: Callable[..., Web]) -> None:
    site = web()
    site.service.until(lambda: len(site.service.samples(0)) >= 1)
    told = site.client.get("/api/history").json["samples"]
    assert len({len(values) for values in told.values()}) == 1
    assert told["capacity"][0] == 8
    last = told["at"][-1]
    assert all(at > last for at in site.client.get(f"/api/history?since={last}").json["samples"]["at"])
    for wrong in ("now", "nan", "inf"):
        assert site.client.get(f"/api/history?since={wrong}").status_code == 400


def test_the_latest_refusals_are_told_newest_first(web: Callable[..., Web], images: dict[str, bytes]) -> None:
    site = web()
    for body in (images["text"], images["text"], images["bomb"]):
        site.raw(body)
    told = site.status()["refusals"]
    assert [each["reason"] for each in told[:1]] == ["header_over_limit"]
    assert sum(each["count"] for each in told) == 3
    assert "Latest" in site.client.get("/status").text

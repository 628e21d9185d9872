"""Two rights, to upload and to steer, and the visitors who have both, one, or none."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from doubles import Gate
from imgpool.config import Settings
from imgpool.web import create_app
from imgpool.web.security import OPEN_ENDPOINTS, UPLOADERS_ENDPOINTS
from imgpool.web.visitors import Guesses
from webclient import Web, body, cookie_name, cookie_of

Make = Callable[..., Web]
TOKEN = "a-token-for-tests"
UPLOAD_TOKEN = "another-for-uploads"
STEER = {"Authorization": f"Bearer {TOKEN}"}
UPLOAD = {"Authorization": f"Bearer {UPLOAD_TOKEN}"}
FORM = "multipart/form-data; boundary=XxX"


@pytest.fixture
def open_site(web: Make) -> Web:
    """A server with both tokens, on which anonymous people may upload."""
    return web(token=TOKEN, upload_token=UPLOAD_TOKEN, anonymous_uploads=True)


def browser(site: Web) -> FlaskClient:
    """A browser of its own, that has opened the upload page."""
    client = site.client.application.test_client()
    assert client.get("/").status_code == 200
    return client


def upload(client: FlaskClient, data: bytes, name: str = "a.jpg", **given: Any) -> str:
    answer = client.post(f"/api/images?name={name}", data=data, **given)
    assert answer.status_code == 202, answer.text
    assert answer.json is not None
    image_id: str = answer.json["images"][0]["id"]
    return image_id


def addresses(image_id: str) -> list[str]:
    return [f"/api/images/{image_id}", f"/api/images/{image_id}/thumb", f"/images/{image_id}"]


def listed(client: FlaskClient, **given: Any) -> list[str]:
    answer = client.get("/api/images", **given)
    assert answer.status_code == 200, answer.text
    assert answer.json is not None
    return [image["id"] for image in answer.json["images"]]


def test_each_sees_their_own_and_the_token_sees_all(open_site: Web, images: dict[str, bytes]) -> None:
    ann, bob = browser(open_site), browser(open_site)
    plain = open_site.client.application.test_client()
    hers, his = upload(ann, images["tiny"]), upload(bob, images["tiny"])
    programs = upload(plain, images["tiny"], headers=UPLOAD)
    theirs = upload(plain, images["tiny"], headers=STEER)
    open_site.service.settled()
    everything = {hers, his, programs, theirs}
    for client, headers, own in ((ann, {}, hers), (bob, {}, his), (plain, UPLOAD, programs)):
        assert listed(client, headers=headers) == [own]
        for path in addresses(own)[: 2 if headers else 3]:
            assert client.get(path, headers=headers, buffered=True).status_code == 200, path
        for other in everything - {own}:
            for path in addresses(other)[: 2 if headers else 3]:
                assert client.get(path, headers=headers, buffered=True).status_code == 404, path
            assert client.delete(f"/api/images/{other}", headers=headers).status_code == 404
    for path in ("/", "/status", "/status?state=done"):
        page = ann.get(path).text
        assert [each for each in everything - {hers} if each in page] == [], path
    assert hers in ann.get("/status").text
    assert set(listed(plain, headers=STEER)) == everything
    for other in everything:
        for path in addresses(other)[:2]:
            assert plain.get(path, headers=STEER, buffered=True).status_code == 200
    assert open_site.service.records.counts().deleted == 0


def test_the_pages_of_a_list_stay_among_ones_own(open_site: Web, images: dict[str, bytes]) -> None:
    ann, bob = browser(open_site), browser(open_site)
    hers: list[str] = []
    for number in range(6):
        if len(hers) == 4:
            open_site.service.settled()
        if number % 2:
            upload(bob, images["tiny"], f"{number}.bmp")
        else:
            hers.append(upload(ann, images["tiny"], f"{number}.bmp"))
    open_site.service.settled()
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = ann.get(f"/api/images?limit=1{f'&cursor={cursor}' if cursor else ''}").json
        assert page is not None
        seen += [image["id"] for image in page["images"]]
        cursor = page["next"]
    assert seen == hers[::-1]
    assert listed(ann, query_string={"cursor": str(10**17)}) == hers[::-1], "a cursor that nobody gave"
    assert listed(ann, query_string={"state": "done"}) == hers[::-1]


def test_ones_own_may_be_deleted_by_page_and_program(open_site: Web, images: dict[str, bytes]) -> None:
    ann = browser(open_site)
    first, second = upload(ann, images["tiny"]), upload(ann, images["tiny"])
    open_site.service.settled()
    assert "Delete for good" in ann.get(f"/images/{first}").text
    assert ann.post(f"/images/{first}/delete").status_code == 303
    assert ann.delete(f"/api/images/{second}").status_code == 204
    assert listed(ann) == []
    assert browser(open_site).post(f"/images/{first}/delete").status_code == 404
    other = upload(ann, images["tiny"])
    open_site.service.settled()
    assert browser(open_site).post(f"/images/{other}/delete").status_code == 404
    assert open_site.client.delete(f"/api/images/{other}", headers=STEER).status_code == 204
    assert open_site.service.records.counts().deleted == 3


def test_two_uploads_at_once_are_of_one_owner(open_site: Web, images: dict[str, bytes]) -> None:
    """The name comes with the page, so it is there before the first upload and no answer has to be waited for."""
    ann = browser(open_site)
    cookie = cookie_of(ann)
    assert cookie is not None
    tabs = [open_site.client.application.test_client() for _ in range(2)]
    for tab in tabs:
        tab.set_cookie(cookie_name(tab), cookie.value)
    made = {upload(tab, images["tiny"]) for tab in tabs}
    assert set(listed(ann)) == made
    assert "Set-Cookie" not in ann.get("/").headers, "a new name would lose the old images"
    open_site.service.settled()


def test_what_depends_on_the_visitor_stays_in_their_browser(open_site: Web, images: dict[str, bytes]) -> None:
    ann = browser(open_site)
    hers = upload(ann, images["tiny"])
    open_site.service.settled()
    paths = ["/", "/status", f"/images/{hers}", "/api/images", "/api/status", f"/api/images/{hers}"]
    for path in [*paths, f"/api/images/{hers}/thumb", "/images/none"]:
        answer = ann.get(path, buffered=True)
        caching = {part.strip().split("=")[0] for part in answer.headers["Cache-Control"].split(",")}
        assert "public" not in caching, path
        assert caching & {"no-store", "private"}, path
        assert caching & {"no-store", "no-cache", "immutable"}, path
        assert "Cookie" in answer.headers["Vary"], path


def test_two_servers_on_one_machine_leave_each_others_visitors_alone(
    open_site: Web, settings: Callable[..., Settings]
) -> None:
    other = create_app(settings(data_dir=open_site.service.settings.data_dir / "other", token=TOKEN)).test_client()
    ann = browser(open_site)
    assert cookie_name(ann) != cookie_name(other)
    assert cookie_name(ann).startswith("imgpool-")


def test_an_upload_by_the_form_without_a_cookie_gets_one(open_site: Web, images: dict[str, bytes]) -> None:
    client = open_site.client.application.test_client()
    answer = client.post("/upload", data=body([("file", "a.jpg", images["tiny"])]), content_type=FORM)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/status")
    assert "HttpOnly" in answer.headers["Set-Cookie"]
    assert ">a.jpg<" in client.get("/status").text
    assert ">a.jpg<" not in browser(open_site).get("/status").text
    open_site.service.settled()


def test_a_cookie_cannot_be_made_up(open_site: Web, images: dict[str, bytes]) -> None:
    ann = browser(open_site)
    hers = upload(ann, images["tiny"])
    open_site.service.settled()
    record = open_site.service.record(hers)
    assert record.owner is not None
    assert len(record.owner) == 32
    app = create_app(Settings(data_dir=open_site.service.settings.data_dir / "other", token=TOKEN))
    signer = app.session_interface.get_signing_serializer(app)  # type: ignore[attr-defined]
    for forged in (signer.dumps({"owner": record.owner}), record.owner, f"eyJvd25lciI6IiJ9.{record.owner}"):
        thief = open_site.client.application.test_client()
        thief.set_cookie(cookie_name(thief), forged)
        assert listed(thief) == []
        assert thief.get(f"/api/images/{hers}").status_code == 404


def test_a_worker_with_somebody_elses_image_shows_no_id(
    web: Make, images: dict[str, bytes], settings: Callable[..., Settings]
) -> None:
    site = web(token=TOKEN, anonymous_uploads=True, gate=(gate := Gate()), workers=1)
    ann, bob = browser(site), browser(site)
    hers = upload(ann, images["tiny"])
    gate.wait_for(1)
    for client, headers, known in ((ann, {}, hers), (bob, {}, None), (bob, STEER, hers)):
        answer = client.get("/api/status", headers=headers)
        assert answer.json is not None
        (lane,) = answer.json["pool"]["lanes"]
        assert (lane["busy"], lane["image"]) == (True, known)
        assert lane["for_s"] >= 0
        assert answer.json["counts"]["accepted"] == 1, "totals are everybody's"
    assert hers not in bob.get("/status").text
    assert "an image of somebody else" in bob.get("/status").text
    assert f"/images/{hers}" in ann.get("/status").text
    gate.open()
    site.service.settled()


STEERING = [("GET", "/metrics")]
UPLOADING = [("GET", "/api/images"), ("GET", "/api/status"), ("GET", "/"), ("GET", "/status"), ("POST", "/api/images")]


@pytest.mark.parametrize(("method", "path"), STEERING)
def test_what_takes_the_right_to_steer(open_site: Web, method: str, path: str) -> None:
    plain = open_site.client.application.test_client()
    for client, headers, status in (
        (browser(open_site), {}, 401),
        (plain, {"Authorization": "Bearer wrong"}, 401),
        (plain, UPLOAD, 403),
        (plain, STEER, 200),
    ):
        assert client.open(path, method=method, headers=headers).status_code == status, headers
    person = open_site.client.application.test_client()
    assert person.post("/sign-in", data={"token": UPLOAD_TOKEN}).status_code == 303
    assert person.open(path, method=method).status_code == 401
    assert person.post("/sign-in", data={"token": TOKEN}).status_code == 303
    assert person.open(path, method=method).status_code == 200


@pytest.mark.parametrize(("method", "path"), UPLOADING)
def test_a_wrong_bearer_is_no_anonymous_uploader(
    open_site: Web, images: dict[str, bytes], method: str, path: str
) -> None:
    client = browser(open_site)
    answer = client.open(path, method=method, headers={"Authorization": "Bearer mistyped-token"}, data=images["tiny"])
    assert answer.status_code == (303 if path in ("/", "/status") else 401)
    assert open_site.service.records.counts().accepted == 0


def test_every_endpoint_is_somebodys(open_site: Web) -> None:
    """What is in no set asks for the token: a route that somebody forgot is closed."""
    app = open_site.client.application
    known = {rule.endpoint for rule in app.url_map.iter_rules()}
    assert known >= OPEN_ENDPOINTS | UPLOADERS_ENDPOINTS
    stranger = app.test_client()
    for rule in app.url_map.iter_rules():
        if rule.endpoint in OPEN_ENDPOINTS | UPLOADERS_ENDPOINTS:
            continue
        path = re.sub(r"<[^>]+>", "0" * 32, rule.rule)
        for method in (rule.methods or set()) - {"OPTIONS"}:
            answer = stranger.open(path, method=method, buffered=True)
            page = method in ("GET", "HEAD") and not rule.endpoint.startswith("api.")
            assert answer.status_code == (303 if page else 401), (method, path)


def test_without_anonymous_uploads_a_stranger_gets_no_cookie(web: Make, images: dict[str, bytes]) -> None:
    site = web(token=TOKEN, upload_token=UPLOAD_TOKEN)
    for answer in (site.client.get("/"), site.client.post("/api/images", data=images["tiny"])):
        assert answer.status_code in (303, 401)
        assert "Set-Cookie" not in answer.headers
    assert upload(site.client, images["tiny"], headers=UPLOAD)
    site.service.settled()


def test_a_person_with_the_upload_token_uploads_and_sees_their_own(web: Make, images: dict[str, bytes]) -> None:
    site = web(token=TOKEN, upload_token=UPLOAD_TOKEN)
    ann, bob = site.client, site.client.application.test_client()
    for client in (ann, bob):
        assert client.post("/sign-in?next=/", data={"token": UPLOAD_TOKEN}).headers["Location"] == "/"
        page = client.get("/").text
        assert "Sign out" in page
        assert "Metrics" not in page
    hers = upload(ann, images["tiny"])
    site.service.settled()
    assert listed(ann) == [hers]
    assert listed(bob) == []
    assert ann.post("/sign-out").status_code == 303
    assert ann.get("/api/images").status_code == 401


def test_a_changed_token_signs_out_who_used_it_and_nobody_else(web: Make, images: dict[str, bytes]) -> None:
    first = web(token=TOKEN, upload_token=UPLOAD_TOKEN, anonymous_uploads=True)
    people = {kind: first.client.application.test_client() for kind in ("steers", "uploads", "anonymous")}
    people["steers"].post("/sign-in", data={"token": TOKEN})
    people["uploads"].post("/sign-in", data={"token": UPLOAD_TOKEN})
    for client in people.values():
        upload(client, images["tiny"])
    cookies = {kind: cookie_of(client) for kind, client in people.items()}
    first.service.settled()
    first.service.stop()
    second = web(token="a-new-token-for-tests", upload_token=UPLOAD_TOKEN, anonymous_uploads=True)
    seen = {}
    for kind, cookie in cookies.items():
        client = second.client.application.test_client()
        assert cookie is not None
        client.set_cookie(cookie_name(client), cookie.value)
        seen[kind] = (len(listed(client)), "Sign out" in client.get("/").text)
    assert seen == {"steers": (0, False), "uploads": (1, True), "anonymous": (1, False)}


def test_image_ids_are_128_random_bits(web: Make, images: dict[str, bytes]) -> None:
    site = web(queue_capacity=64)
    uploads = [site.service.admit() for _ in range(64)]
    ids = [upload.image_id for upload in uploads]
    for each in uploads:
        each.discard()
    assert all(re.fullmatch(r"[0-9a-f]{32}", image_id) for image_id in ids)
    assert len(set(ids)) == 64
    for bit in range(128):  # 64 coins that all fall alike are one in 10^19
        ones = sum(int(image_id, 16) >> bit & 1 for image_id in ids)
        assert 0 < ones < 64, f"bit {bit} never changes"


def test_the_log_tells_of_guesses_and_is_not_filled_by_them(caplog: pytest.LogCaptureFixture) -> None:
    now = 1000.0
    guesses = Guesses(lambda: now)
    with caplog.at_level(logging.WARNING):
        for _ in range(500):
            guesses.tell("10.0.0.1")
        now += Guesses.PAUSE_S
        guesses.tell("10.0.0.2")
    assert [record.getMessage() for record in caplog.records] == [
        "wrong tokens: 1, the last from 10.0.0.1",
        "wrong tokens: 500, the last from 10.0.0.2",
    ]

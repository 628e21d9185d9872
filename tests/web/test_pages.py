"""The pages: they do their job without JavaScript, hold nothing inline, and let nobody's file name become markup."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from doubles import Gate, Watched, Watching
from imgpool.config import Settings
from imgpool.service.records import Counts
from imgpool.web import create_app
from imgpool.web.security import HEADERS
from webclient import Web, body

Make = Callable[..., Web]
STATIC = Path(__file__).parent.parent.parent / "static"
NASTY = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&.jpg"
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


class Page(HTMLParser):
    """Elements with their attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str, **wanted: str) -> list[dict[str, str | None]]:
        return [
            attributes
            for name, attributes in self.elements
            if name == tag and all(attributes.get(key) == value for key, value in wanted.items())
        ]


def assert_clean(site: Web, html: str) -> Page:
    """Nothing inline, nothing from elsewhere, everything there, and what a screen reader needs."""
    page = Page(html)
    for tag, attributes in page.elements:
        assert tag != "style", "inline style"
        assert tag != "script" or attributes.get("src"), "inline script"
        assert "style" not in attributes, (tag, attributes)
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        for name in ("src", "href", "action", "data-href"):
            target = attributes.get(name)
            if target is None or target.startswith(("#", "data:")):
                continue
            assert not urlsplit(target).scheme, target
            assert not urlsplit(target).netloc, target
            if target.startswith("/static/"):
                answer = site.client.get(target, buffered=True)
                assert answer.status_code == 200, target
        if tag == "img":
            assert "alt" in attributes, attributes
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids)), "an ID is there twice"
    assert page.all("html")[0].get("lang")
    assert len(page.all("title")) >= 1
    assert len(page.all("h1")) >= 1
    labelled = {each.get("for") for each in page.all("label")}
    for field in page.all("input"):
        hidden = field.get("type") in ("hidden", "submit") or field.get("aria-hidden") == "true" or "hidden" in field
        assert hidden or field.get("id") in labelled or "aria-label" in field, field
    return page


def test_the_upload_page_is_a_form_that_needs_no_javascript(web: Make) -> None:
    site = web(max_upload_bytes=5 * 1024**2)
    answer = site.client.get("/")
    assert (answer.status_code, answer.mimetype) == (200, "text/html")
    page = assert_clean(site, answer.text)
    (form,) = page.all("form", action="/upload")
    assert (form["method"], form["enctype"]) == ("post", "multipart/form-data")
    (field,) = page.all("input", type="file")
    assert field["name"] == "file"
    assert "multiple" in field
    assert "image/jpeg" in str(field["accept"])
    assert "JPEG" in page.text
    assert "5" in page.text


def test_the_upload_page_is_there_before_the_service(settings: Callable[..., Settings]) -> None:
    service = Watching(settings())
    answer = create_app(service.settings, service).test_client().get("/")
    assert answer.status_code == 200
    assert "/upload" in answer.text


def test_an_application_makes_its_own_service_and_starts_nothing(settings: Callable[..., Settings]) -> None:
    app = create_app(settings())
    assert not app.extensions["imgpool"].accepting
    assert not settings().data_dir.exists()


def test_a_good_upload_leads_to_the_status_page(web: Make, images: dict[str, bytes]) -> None:
    site = web()
    answer = site.form([("file", "a.jpg", images["jpeg"]), ("file", NASTY, images["png"])], path="/upload")
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/status"
    site.service.settled()
    answer = site.client.get(answer.headers["Location"])
    page = assert_clean(site, answer.text)
    shown = [image.get("src") for image in page.all("img")]
    for record in site.service.page(None, 9, None):
        assert f"/api/images/{record.id}/thumb" in shown
        assert f"/images/{record.id}" in answer.text
    assert "a.jpg" in page.text
    assert "<script>alert" not in answer.text
    assert "onerror=alert(1)>" not in answer.text


def test_a_refused_upload_is_told_in_a_page(web: Make, images: dict[str, bytes]) -> None:
    site = web()
    answer = site.form(
        [("file", "<b>bold</b>.jpg", images["text"]), ("file", "big.png", images["bomb"])], path="/upload"
    )
    assert (answer.status_code, answer.mimetype) == (415, "text/html")
    page = assert_clean(site, answer.text)
    assert "b>.jpg" in page.text
    assert not page.all("b", **{"class": "x"})
    assert "<b>.jpg" not in answer.text
    assert "big.png" in page.text
    for _, refusal in ((415, "Not an accepted image format"), (422, "The image is over a limit")):
        assert refusal in page.text


def test_a_half_refused_upload_tells_both(web: Make, images: dict[str, bytes]) -> None:
    site = web()
    answer = site.form([("file", "good.gif", images["gif"]), ("file", "bad.gif", images["svg"])], path="/upload")
    assert answer.status_code == 200
    page = assert_clean(site, answer.text)
    assert "good.gif" in page.text
    assert "bad.gif" in page.text
    assert "Retry-After" not in answer.headers
    site.service.settled()


def test_nothing_chosen_and_no_room_are_pages_too(web: Make, images: dict[str, bytes]) -> None:
    site = web(queue_capacity=1)
    empty = site.form([("file", "", b"")], path="/upload")
    assert (empty.status_code, empty.mimetype) == (400, "text/html")
    held = site.service.admit()
    full = site.form([("file", "a.gif", images["gif"])], path="/upload")
    held.discard()
    assert (full.status_code, full.mimetype) == (503, "text/html")
    assert 1 <= int(full.headers["Retry-After"]) <= 120
    page = assert_clean(site, full.text)
    assert "The upload" in page.text  # whose files' names were not read
    assert "unnamed" not in page.text


def test_the_status_page_of_a_busy_pool(web: Make, images: dict[str, bytes]) -> None:
    site = web(gate=(gate := Gate()), workers=1, queue_capacity=4)
    ids = [site.raw(images[name], f"{name}.jpg").json["images"][0]["id"] for name in ("jpeg", "truncated", "png")]
    gate.wait_for(1)
    answer = site.client.get("/status")
    assert answer.status_code == 200
    page = assert_clean(site, answer.text)
    assert all(image_id in answer.text for image_id in ids)
    gate.open()
    site.service.settled()
    page = assert_clean(site, site.client.get("/status").text)
    assert str(site.service.record(ids[1]).error) in page.text
    failed = site.client.get("/status?state=failed").text
    assert ids[1] in failed
    assert ids[0] not in failed


def test_an_empty_status_page(web: Make) -> None:
    site = web()
    for path in ("/status", "/status?state=failed"):
        assert_clean(site, site.client.get(path).text)


def test_older_images_are_a_link_away(web: Make, images: dict[str, bytes]) -> None:
    site = web()
    ids = [site.done(images["tiny"], f"{number}.bmp") for number in range(3)]
    page = assert_clean(site, site.client.get("/status?limit=2").text)
    (older,) = [link["href"] for link in page.all("a") if "data-older" in link]
    assert older is not None
    assert ids[0] in site.client.get(older).text


def test_the_page_of_an_image(web: Make, images: dict[str, bytes]) -> None:
    site = web()
    good, bad = site.done(images["turned"], "<i>.jpg"), site.done(images["truncated"])
    answer = site.client.get(f"/images/{good}")
    page = assert_clean(site, answer.text)
    assert "<i>.jpg" in page.text
    assert "<i>.jpg" not in answer.text
    for name in ("large", "thumb"):
        assert f"/api/images/{good}/{name}" in answer.text
    page = assert_clean(site, site.client.get(f"/images/{bad}").text)
    assert str(site.service.record(bad).error) in page.text
    missing = site.client.get(f"/images/{'0' * 32}", headers=BROWSER)
    assert (missing.status_code, missing.mimetype) == (404, "text/html")
    assert_clean(site, missing.text)


def test_the_delete_button(web: Make, images: dict[str, bytes]) -> None:
    site = web()
    image_id = site.done(images["tiny"])
    page = Page(site.client.get(f"/images/{image_id}").text)
    (form,) = page.all("form", action=f"/images/{image_id}/delete")
    assert form["method"] == "post"
    answer = site.client.post(f"/images/{image_id}/delete")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/status")
    assert site.service.get(image_id) is None
    assert site.client.post(f"/images/{image_id}/delete", headers=BROWSER).status_code == 404


class Confused(Watched):
    """A mistake of ours."""

    def counts(self) -> Counts:
        raise RuntimeError("<script>alert(1)</script>")


ERRORS: dict[int, dict[str, object]] = {
    400: {"path": "/status?state=none"},
    401: {"method": "POST", "path": "/upload", "token": "a-token-for-tests"},
    403: {"method": "POST", "path": "/upload", "headers": {"Origin": "http://evil.example"}},
    404: {"path": "/<script>alert(1)</script>"},
    405: {"path": "/upload"},
    413: {"method": "POST", "path": "/upload", "max_upload_bytes": 10},
    415: {"method": "POST", "path": "/upload", "data": b"<script>alert(1)</script>" * 20},
    421: {"path": "/", "headers": {"Host": '"><script>alert(1)</script>'}},
    422: {"method": "POST", "path": "/upload", "max_pixels": 1},
    500: {"path": "/status", "records": Confused},
    503: {"method": "POST", "path": "/upload", "queue_capacity": 1, "full": True},
    507: {"method": "POST", "path": "/upload", "disk_floor_bytes": 1 << 50},
}


@pytest.mark.parametrize("status", ERRORS)
def test_every_error_page_is_clean_and_has_the_policy(web: Make, images: dict[str, bytes], status: int) -> None:
    case = dict(ERRORS[status])
    method, path, headers = (
        case.pop(key, default) for key, default in (("method", "GET"), ("path", ""), ("headers", {}))
    )
    data, full = case.pop("data", images["jpeg"]), case.pop("full", None)
    site = web(**case)
    held = site.service.admit() if full else None
    answer = site.client.open(
        path,
        method=method,
        headers={**BROWSER, **headers},  # type: ignore[dict-item]
        data=body([("file", "<script>alert(1)</script>.jpg", data)]) if method == "POST" else None,  # type: ignore[arg-type]
        content_type="multipart/form-data; boundary=XxX" if method == "POST" else None,
    )
    if held is not None:
        held.discard()
    assert (answer.status_code, answer.mimetype) == (status, "text/html"), answer.text
    assert_clean(site, answer.text)
    assert "<script>alert" not in answer.text
    for name, value in HEADERS.items():
        assert answer.headers[name] == value


def test_signing_in_and_out(web: Make) -> None:
    site = web(token="a-token-for-tests")
    page = assert_clean(site, site.client.get('/sign-in?next=/status?a="><script>').text)
    (form,) = page.all("form", action="/sign-in")
    assert form["method"] == "post"
    assert page.all("input", name="next")[0]["value"] == '/status?a="><script>'
    wrong = site.client.post("/sign-in", data={"token": "wrong", "next": "/status"})
    assert wrong.status_code == 401
    page = assert_clean(site, wrong.text)
    assert page.all("input", name="next")[0]["value"] == "/status"
    assert "a-token-for-tests" not in wrong.text
    site.client.post("/sign-in", data={"token": "a-token-for-tests"})
    page = assert_clean(site, site.client.get("/").text)
    assert page.all("form", action="/sign-out")


def test_without_a_token_there_is_nothing_to_sign_out_of(web: Make) -> None:
    assert not Page(web().client.get("/").text).all("form", action="/sign-out")


@pytest.mark.parametrize("path", ["/", "/status", "/api/images", "/api/status", "/metrics", "/healthz", "/readyz"])
def test_head_is_get_without_the_body(web: Make, path: str) -> None:
    site = web()
    site.service._door._free = (float("inf"), 1 << 40)
    head, get = site.client.head(path), site.client.get(path)
    assert (head.status_code, head.data, head.mimetype) == (get.status_code, b"", get.mimetype)


def test_vendored_libraries_are_whole_and_unchanged() -> None:
    folders = [path for path in (STATIC / "vendor").iterdir() if path.is_dir()]
    assert folders
    for folder in folders:
        digest = re.search(r"sha256 ([0-9a-f]{64})", (folder / "README.md").read_text())
        (library,) = folder.glob("*.js")
        assert digest is not None
        assert hashlib.sha256(library.read_bytes()).hexdigest() == digest[1]
        assert "Permission is hereby granted" in (folder / "LICENSE").read_text()

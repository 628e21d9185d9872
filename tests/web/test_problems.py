"""Errors as people and as programs get them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from doubles import Watched
from imgpool.errors import Refused
from imgpool.service.records import Counts, ImageRecord, StoreError
from webclient import Web

Make = Callable[..., Web]
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


def kinds(of: type[Refused]) -> list[type[Refused]]:
    return [each for kind in of.__subclasses__() for each in (kind, *kinds(kind))]


def test_every_refusal_has_its_own_reason_a_status_and_a_title() -> None:
    found = kinds(Refused)
    assert len({kind.reason for kind in found}) == len(found) == 18
    assert all(400 <= kind.status < 600 and kind.title and kind.__doc__ for kind in found)


@pytest.mark.parametrize(
    ("accept", "page"),
    [
        (BROWSER, True),
        ("text/html", True),
        ("*/*", False),
        ("application/json", False),
        ("application/problem+json", False),
        ("text/html;q=0.5, application/problem+json", False),
        ("", False),
        (None, False),
        ("nonsense,,;q=x", False),
    ],
)
def test_a_page_for_browsers_and_a_problem_for_programs(web: Make, accept: str | None, page: bool) -> None:
    answer = web().client.get("/nothing", headers={} if accept is None else {"Accept": accept})
    assert answer.status_code == 404
    assert answer.mimetype == ("text/html" if page else "application/problem+json")
    assert answer.headers["Cache-Control"] == "no-store"
    if page:
        assert "<h1" in answer.text
    else:
        assert set(answer.json) == {"type", "title", "status", "detail"}
        assert answer.json["type"] == "about:blank"


@pytest.mark.parametrize("path", ["/api/nothing", "/api/images/x", "/api/images?limit=0"])
def test_the_api_never_answers_with_a_page(web: Make, path: str) -> None:
    answer = web().client.get(path, headers={"Accept": BROWSER})
    assert answer.mimetype == "application/problem+json"


class Broken(Watched):
    """Cannot be read, by two kinds of error."""

    error: Exception = StoreError("the record store failed: disk I/O error at /secret/path")

    def get(self, image_id: str) -> ImageRecord | None:
        raise self.error

    def counts(self) -> Counts:
        raise self.error


class Confused(Broken):
    error = RuntimeError("a mistake of ours at /secret/path")


@pytest.mark.parametrize(
    ("records", "status"), [(Broken, 503), (Confused, 500)], ids=["store does not answer", "a mistake of ours"]
)
def test_errors_behind_the_pages_are_problems_that_give_nothing_away(
    web: Make, records: Callable[[Path], Watched], status: int
) -> None:
    site = web(records=records)
    for path in ("/api/status", "/metrics", "/api/images/x", "/status", "/images/x"):
        for accept in (BROWSER, "*/*"):
            answer = site.client.get(path, headers={"Accept": accept})
            assert answer.status_code == status
            assert "secret" not in answer.text
            assert ("Retry-After" in answer.headers) == (status == 503)
    assert site.client.get("/healthz").status_code == 200


GARBAGE = [
    "", " ", ",", ";", "=", "*", '"', "bytes=", "bytes=-", "bytes=9-1", "bytes=a-b", "bytes=0-0,2-3", "W/", "\xff",
    "x" * 5000, "-1", "1e9", "[::1", "a b", "%00", "http://[", "Bearer", "multipart/form-data;boundary=\x7f",
]  # fmt: skip


@pytest.mark.parametrize(
    "header",
    ["Accept", "Accept-Encoding", "Authorization", "Content-Length", "Content-Type", "Expect", "Host",
     "If-Match", "If-Modified-Since", "If-None-Match", "If-Range", "Origin", "Range", "Referer", "Sec-Fetch-Site",
     "X-Forwarded-For"],
)  # fmt: skip
def test_no_header_makes_a_500(web: Make, images: dict[str, bytes], header: str) -> None:
    site = web()
    thumb = f"/api/images/{site.done(images['tiny'])}/thumb"
    for value in GARBAGE:
        environ = {"CONTENT_TYPE" if header == "Content-Type" else "HTTP_" + header.upper().replace("-", "_"): value}
        if header == "Content-Length":
            environ = {"CONTENT_LENGTH": value}
        for method, path in (
            ("GET", thumb), ("GET", "/"), ("GET", "/api/status"), ("POST", "/api/images"), ("POST", "/upload"),
            ("POST", "/sign-in"), ("DELETE", "/api/images/x"), ("PUT", "/"),
        ):  # fmt: skip
            answer = site.client.open(path, method=method, environ_overrides=environ, buffered=True)
            assert answer.status_code < 500, (method, path, value, answer.text)

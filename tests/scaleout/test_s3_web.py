"""The pages' own way to files on S3: uploads in, variants out, by a service whose other parts are the embedded ones."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from doubles import Watching, lawful
from imgpool.config import Settings
from imgpool.errors import SettingError
from imgpool.scaleout.bucket import Bucket
from imgpool.scaleout.s3 import S3Files
from imgpool.service.stores import Stores
from imgpool.web import create_app
from servers.swift import BUCKET, Swift
from webclient import Web


class Counted(Bucket):
    """Counts what is read."""

    reads = 0

    def read(self, *given: Any, **more: Any) -> Any:
        self.reads += 1
        return super().read(*given, **more)


@pytest.fixture
def folder(swift: Swift) -> Counted:
    return Counted(swift.folder().url, swift.endpoint)


@pytest.fixture
def web(start: Callable[..., Watching], folder: Counted) -> Callable[..., Web]:
    def make(**given: Any) -> Web:
        service = start(files=lambda data_dir, _: S3Files(folder, data_dir / "scratch"))
        service.settings = replace(service.settings, **given)
        return Web(create_app(service.settings, service).test_client(), service)

    return make


@pytest.fixture
def away(swift: Swift, tmp_path: Path) -> Iterator[S3Files]:
    with closing(S3Files(Bucket(f"s3://{BUCKET}", "http://127.0.0.1:9"), tmp_path / "away")) as files:
        yield files


def test_a_variant_comes_through_the_app(web: Callable[..., Web], folder: Counted, images: dict[str, bytes]) -> None:
    site = web()
    image_id = site.done(images["jpeg"])
    path = f"/api/images/{image_id}/large"
    whole = site.client.get(path)
    made = site.service.record(image_id).variants[0]
    assert whole.status_code == 200
    assert whole.mimetype == "image/jpeg"
    assert len(whole.data) == whole.content_length == made.bytes
    assert whole.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert whole.headers["Accept-Ranges"] == "bytes"

    for asked, first, last in (("0-0", 0, 0), ("10-", 10, made.bytes - 1), ("-5", made.bytes - 5, made.bytes - 1)):
        part = site.client.get(path, headers={"Range": f"bytes={asked}", "If-Range": whole.headers["ETag"]})
        assert part.status_code == 206
        assert part.headers["Content-Range"] == f"bytes {first}-{last}/{made.bytes}"
        assert part.data == whole.data[first : last + 1]
        assert part.content_length == len(part.data)
    other = site.client.get(path, headers={"Range": "bytes=0-0", "If-Range": '"another"'})
    assert other.status_code == 200
    assert other.data == whole.data

    folder.reads = 0
    same = site.client.get(path, headers={"If-None-Match": whole.headers["ETag"]})
    assert (same.status_code, same.data) == (304, b"")
    beyond = site.client.get(path, headers={"Range": f"bytes={made.bytes}-"})
    assert beyond.status_code == 416
    assert folder.reads == 0, "the record knows enough for both"
    head = site.client.head(path)
    assert (head.status_code, head.content_length, head.data) == (200, made.bytes, b"")


def test_what_s3_has_lost_or_cannot_give_is_said(
    web: Callable[..., Web], away: S3Files, images: dict[str, bytes]
) -> None:
    site = web()
    image_id = site.done(images["jpeg"])
    stores = site.service.stores
    site.service._stores = Stores(away, stores.records)
    lost = site.client.get(f"/api/images/{image_id}/large")
    assert (lost.status_code, lost.headers["Retry-After"]) == (503, "10")
    assert lost.mimetype == "application/problem+json"
    site.service._stores = stores
    stores.files.delete(image_id)
    gone = site.client.get(f"/api/images/{image_id}/large")
    assert gone.status_code == 404
    assert "Cache-Control" not in gone.headers or "immutable" not in gone.headers["Cache-Control"]


def test_while_s3_is_away_uploads_are_refused_and_nothing_is_lost(
    web: Callable[..., Web], away: S3Files, images: dict[str, bytes]
) -> None:
    site = web()
    stores = site.service.stores
    kept = site.done(images["jpeg"])
    site.service._stores = Stores(away, stores.records)
    refused = site.raw(images["jpeg"])
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "10")
    assert site.client.delete(f"/api/images/{kept}").status_code == 503
    site.service._stores = stores
    counts = site.service.settled()
    assert (counts.accepted, counts.done) == (1, 1)
    assert lawful(counts)
    assert site.client.get(f"/api/images/{kept}/thumb").status_code == 200


def test_a_deleted_image_leaves_no_object(web: Callable[..., Web], folder: Counted, images: dict[str, bytes]) -> None:
    site = web()
    image_id = site.done(images["jpeg"])
    assert sum(len(page.objects) for page in folder.pages("")) == 3
    assert site.client.delete(f"/api/images/{image_id}").status_code == 204
    assert sum(len(page.objects) for page in folder.pages("")) == 0


def test_a_variant_comes_by_redirect(
    web: Callable[..., Web], folder: Counted, swift: Swift, images: dict[str, bytes]
) -> None:
    site = web(**redirecting(folder))
    image_id = site.done(images["jpeg"])
    answer = site.client.get(f"/api/images/{image_id}/large")
    assert answer.status_code == 302
    assert answer.headers["Cache-Control"] == "private, max-age=240"
    assert folder.reads == 1, "the worker's, of the original"
    url = answer.headers["Location"]
    assert url.startswith(f"{swift.endpoint}/{BUCKET}/")
    with urllib.request.urlopen(url, timeout=10) as file:
        assert file.headers["Content-Type"] == "image/jpeg"
        assert file.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        whole = file.read()
    assert len(whole) == site.service.record(image_id).variants[0].bytes
    part = urllib.request.Request(url, headers={"Range": "bytes=2-5"})
    with urllib.request.urlopen(part, timeout=10) as file:
        assert (file.status, file.read()) == (206, whole[2:6])
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(url.replace("/large", "/thumb"), timeout=10)
    raised.value.close()
    assert raised.value.code == 403, "it opens this one alone"
    assert site.client.get(f"/api/images/{image_id}/nothing").status_code == 404


def test_pages_may_show_what_they_are_redirected_to(web: Callable[..., Web], folder: Counted, swift: Swift) -> None:
    service = web().service

    def policy(**given: Any) -> str:
        service.settings = replace(service.settings, **given)
        client = create_app(service.settings, service).test_client()
        return str(client.get("/").headers["Content-Security-Policy"])

    assert "img-src 'self' data: blob:;" in policy()
    assert f"img-src 'self' {swift.endpoint} data: blob:;" in policy(**redirecting(folder))
    assert "img-src 'self' https://*.amazonaws.com data: blob:;" in policy(s3_endpoint=None)


def test_redirecting_wants_files_on_s3() -> None:
    with pytest.raises(SettingError, match="--variant-delivery: 'redirect' is not allowed without --files s3://"):
        Settings(variant_delivery="redirect")


def redirecting(folder: Bucket) -> dict[str, Any]:
    """Settings as of a host; broker and database are not asked by what these tests are about."""
    return {
        "broker": "redis://127.0.0.1:9/0",
        "database": "postgresql://127.0.0.1:9/none",
        "files": folder.url,
        "s3_endpoint": folder.endpoint,
        "variant_delivery": "redirect",
    }

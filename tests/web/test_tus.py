"""tus as a client sees it, status by status. Real client programs are in tests/system/test_tus.py."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from imgpool.web.tus import ALGORITHMS, EXTENSIONS
from pictures import photo
from webclient import Untouchable, Web

MakeWeb = Callable[..., Web]

TUS = {"Tus-Resumable": "1.0.0"}
PATCH = {**TUS, "Content-Type": "application/offset+octet-stream"}
DATA = photo(320, 240)


@pytest.fixture
def site(web: MakeWeb) -> Web:
    return web()


def base64_of(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def create(site: Web, length: int = len(DATA), name: str = "lake.jpg", **more: str) -> Any:
    headers = {**TUS, "Upload-Length": str(length), "Upload-Metadata": f"filename {base64_of(name)}", **more}
    return site.client.post("/api/uploads", headers=headers)


def patch(site: Web, where: str, offset: int, data: bytes, **more: str) -> Any:
    return site.client.patch(where, data=data, headers={**PATCH, "Upload-Offset": str(offset), **more})


def cut_patch(site: Web, where: str, offset: int, data: bytes, announced: int, **more: str) -> Any:
    """One whose body is shorter than announced."""
    headers = {**PATCH, "Upload-Offset": str(offset), **more}
    body = {"wsgi.input": io.BytesIO(data), "wsgi.input_terminated": True, "CONTENT_LENGTH": str(announced)}
    return site.client.patch(where, headers=headers, environ_overrides=body)


def head(site: Web, where: str) -> Any:
    return site.client.head(where, headers=TUS)


def since_start(site: Web) -> dict[str, int]:
    told: dict[str, int] = site.status()["since_start"]
    return told


def test_options_say_what_there_is(site: Web) -> None:
    for path in ("/api/uploads", f"/api/uploads/{'0' * 32}"):
        answer = site.client.options(path)
        assert answer.status_code == 204
        assert answer.headers["Tus-Version"] == "1.0.0"
        assert answer.headers["Tus-Extension"] == EXTENSIONS
        assert answer.headers["Tus-Max-Size"] == str(site.service.settings.max_upload_bytes)
        assert answer.headers["Tus-Checksum-Algorithm"].split(",") == list(ALGORITHMS)


@pytest.mark.parametrize("version", [None, "0.2.2"])
def test_another_version_is_told_so_and_nothing_happens(site: Web, version: str | None) -> None:
    headers = {"Upload-Length": "10", **({"Tus-Resumable": version} if version else {})}
    for method, path in (("POST", ""), ("HEAD", "/x"), ("PATCH", "/x"), ("DELETE", "/x")):
        answer = site.client.open(f"/api/uploads{path}", method=method, headers=headers)
        assert answer.status_code == 412
        assert answer.headers["Tus-Version"] == answer.headers["Tus-Resumable"] == "1.0.0"
    assert site.service.uploads.standing().uploads == 0


def test_from_creation_to_the_image(site: Web) -> None:
    created = create(site)
    assert (created.status_code, created.headers["Upload-Offset"]) == (201, "0")
    where = created.headers["Location"]
    image_id = where.removeprefix("/api/uploads/")
    assert parsedate_to_datetime(created.headers["Upload-Expires"]).tzinfo is not None
    assert site.status()["pool"]["queue"]["reserved"] == 1

    first = patch(site, where, 0, DATA[:1000])
    assert (first.status_code, first.headers["Upload-Offset"]) == (204, "1000")
    looked = head(site, where)
    assert (looked.headers["Upload-Offset"], looked.headers["Upload-Length"]) == ("1000", str(len(DATA)))
    assert looked.headers["Cache-Control"] == "no-store"
    assert looked.headers["Upload-Metadata"] == f"filename {base64_of('lake.jpg')}"
    assert site.status()["unfinished"] == {"uploads": 1, "announced_bytes": len(DATA), "slots": 1}
    assert site.client.get(f"/api/images/{image_id}").status_code == 404

    last = patch(site, where, 1000, DATA[1000:])
    assert (last.status_code, last.headers["Upload-Offset"]) == (204, str(len(DATA)))
    assert "Upload-Expires" not in last.headers
    site.service.settled()
    image = site.client.get(f"/api/images/{image_id}").json
    assert (image["state"], image["name"], image["bytes"]) == ("done", "lake.jpg", len(DATA))
    assert head(site, where).headers["Upload-Offset"] == str(len(DATA)), "for a client that missed the last answer"
    again = patch(site, where, len(DATA), b"")
    assert (again.status_code, again.headers["Upload-Offset"]) == (204, str(len(DATA)))
    repeated = patch(site, where, 1000, DATA[1000:])
    assert (repeated.status_code, repeated.headers["Upload-Offset"]) == (409, str(len(DATA)))
    assert patch(site, where, len(DATA), b"more").status_code == 400
    assert site.client.delete(where, headers=TUS).status_code == 404, "an image is deleted as images are"
    site.client.delete(f"/api/images/{image_id}")
    assert patch(site, where, len(DATA), b"").status_code == 404
    assert since_start(site) == {"received": 1, "accepted": 1, "refused": 0}
    for answer in (created, first, looked, last):
        assert answer.headers["Tus-Resumable"] == "1.0.0"


@pytest.mark.parametrize("asked", ["interrupt", "go_on"])
def test_one_that_ends_while_it_is_asked_for_is_not_said_to_be_gone(
    site: Web, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    """The client comes back just when its last bytes are kept; told 404 it would send all of them again."""
    where = create(site).headers["Location"]
    uploads = site.service.uploads
    going_on = getattr(uploads, asked)

    def after_the_last_bytes(*given: Any) -> Any:
        monkeypatch.undo()
        assert patch(site, where, 0, DATA).status_code == 204
        return going_on(*given)

    monkeypatch.setattr(uploads, asked, after_the_last_bytes)
    answer = head(site, where) if asked == "interrupt" else patch(site, where, 0, DATA)
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (
        200 if asked == "interrupt" else 409,
        str(len(DATA)),
    )
    assert since_start(site) == {"received": 1, "accepted": 1, "refused": 0}


def test_creation_with_upload(site: Web) -> None:
    headers = {**PATCH, "Upload-Length": str(len(DATA))}
    some = site.client.post("/api/uploads", data=DATA[:1000], headers=headers)
    assert (some.status_code, some.headers["Upload-Offset"]) == (201, "1000")
    whole = site.client.post("/api/uploads", data=DATA, headers=headers)
    assert (whole.status_code, whole.headers["Upload-Offset"]) == (201, str(len(DATA)))
    assert site.service.settled().done == 1


def test_no_slot_no_body(web: MakeWeb) -> None:
    site = web(queue_capacity=1)
    where = create(site).headers["Location"]
    unread = {"wsgi.input": io.BufferedReader(Untouchable()), "CONTENT_LENGTH": "100"}
    refused = site.client.post("/api/uploads", headers={**PATCH, "Upload-Length": "100"}, environ_overrides=unread)
    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) >= 1
    assert refused.json["type"] == "/problems/no-room"
    site.service.uploads.tend()
    assert patch(site, where, 0, DATA).status_code == 204
    assert since_start(site) == {"received": 2, "accepted": 1, "refused": 1}


@pytest.mark.parametrize(
    ("length", "status"), [("0", 400), ("x", 400), ("-1", 400), ("1001", 413), ("9" * 19, 400), ("9" * 18, 413)]
)
def test_lengths_that_are_refused(web: MakeWeb, length: str, status: int) -> None:
    site = web(max_upload_bytes=1000)
    answer = site.client.post("/api/uploads", headers={**TUS, "Upload-Length": length})
    assert answer.status_code == status
    assert answer.mimetype == "application/problem+json"


def test_a_deferred_length_is_not_offered(site: Web) -> None:
    assert site.client.post("/api/uploads", headers={**TUS, "Upload-Defer-Length": "1"}).status_code == 400


def test_a_full_disk_is_told_before_the_body(web: MakeWeb) -> None:
    assert create(web(disk_floor_bytes=1 << 50)).status_code == 507


@pytest.mark.parametrize(("name", "status"), [("text", 415), ("bomb", 422)])
def test_what_is_no_image_is_refused_by_its_bytes(site: Web, images: dict[str, bytes], name: str, status: int) -> None:
    data = images[name]
    where = create(site, len(data)).headers["Location"]
    refused = patch(site, where, 0, data)
    assert refused.status_code == status
    assert refused.json["detail"]
    assert head(site, where).status_code == 404
    assert since_start(site) == {"received": 1, "accepted": 0, "refused": 1}
    assert site.status()["pool"]["queue"]["reserved"] == 0


def test_patches_that_are_wrong(site: Web) -> None:
    where = create(site).headers["Location"]
    assert site.client.patch(where, data=DATA, headers={**TUS, "Upload-Offset": "0"}).status_code == 415
    assert site.client.patch(where, data=DATA, headers=PATCH).status_code == 400
    elsewhere = patch(site, where, 5, DATA[5:])
    assert (elsewhere.status_code, elsewhere.headers["Upload-Offset"]) == (409, "0")
    assert patch(site, where, 0, DATA + b"x").status_code == 400
    assert patch(site, f"/api/uploads/{'0' * 32}", 0, DATA).status_code == 404
    assert patch(site, where, 0, DATA).status_code == 204, "none of it did harm"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_checksum_is_checked(site: Web, algorithm: str) -> None:
    where = create(site).headers["Location"]

    def checksum(data: bytes) -> str:
        return f"{algorithm} {base64_of(hashlib.new(algorithm, data).digest())}"

    wrong = patch(site, where, 0, DATA[:1000], **{"Upload-Checksum": checksum(b"something else")})
    assert wrong.status_code == 460
    assert head(site, where).headers["Upload-Offset"] == "0"
    first = patch(site, where, 0, DATA[:1000], **{"Upload-Checksum": checksum(DATA[:1000])})
    assert (first.status_code, first.headers["Upload-Offset"]) == (204, "1000")
    wrong = patch(site, where, 1000, DATA[1000:], **{"Upload-Checksum": checksum(DATA)})
    assert (wrong.status_code, site.service.records.counts().accepted) == (460, 0)
    assert patch(site, where, 1000, DATA[1000:], **{"Upload-Checksum": checksum(DATA[1000:])}).status_code == 204
    assert site.service.settled().done == 1


@pytest.mark.parametrize("checksum", ["crc32 AAAA", "sha1 ###", "sha1"])
def test_checksums_that_cannot_be_checked(site: Web, checksum: str) -> None:
    where = create(site).headers["Location"]
    answer = patch(site, where, 0, DATA, **{"Upload-Checksum": checksum})
    assert answer.status_code in (400, 460)
    assert head(site, where).headers["Upload-Offset"] == "0"


def test_a_body_that_breaks_off_leaves_what_came(site: Web) -> None:
    where = create(site).headers["Location"]
    cut = cut_patch(site, where, 0, DATA[:1500], 3000)
    assert cut.status_code == 400
    assert head(site, where).headers["Upload-Offset"] == "1500"
    digest = f"sha1 {base64_of(hashlib.sha1(DATA).digest())}"
    cut_patch(site, where, 1500, DATA[1500:1600], 3000, **{"Upload-Checksum": digest})
    assert head(site, where).headers["Upload-Offset"] == "1500", "a part of a checksum's bytes cannot be checked"
    assert since_start(site)["received"] == 0, "nothing is decided yet"
    assert patch(site, where, 1500, DATA[1500:]).status_code == 204


def test_termination(site: Web) -> None:
    where = create(site).headers["Location"]
    patch(site, where, 0, DATA[:1000])
    assert site.client.delete(where, headers=TUS).status_code == 204
    assert head(site, where).status_code == 404
    assert site.client.delete(where, headers=TUS).status_code == 404
    assert site.status()["pool"]["queue"]["reserved"] == 0


def test_where_patch_and_delete_do_not_get_through(site: Web) -> None:
    where = create(site).headers["Location"]
    headers = {**PATCH, "Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"}
    assert site.client.post(where, data=DATA[:1000], headers=headers).status_code == 204
    assert head(site, where).headers["Upload-Offset"] == "1000"
    assert site.client.post(where, headers={**TUS, "X-HTTP-Method-Override": "DELETE"}).status_code == 204
    answer = site.client.post(where, headers={**TUS, "X-HTTP-Method-Override": "GET"})
    assert (answer.status_code, answer.headers["Allow"]) == (405, "DELETE, HEAD, OPTIONS, PATCH, POST")


@pytest.mark.parametrize(
    "metadata", ["filename", "filename ###", "filename " + base64_of(b"\xff\xfe"), "filename " + "A" * 5000]
)
def test_metadata_that_cannot_be_read(site: Web, metadata: str) -> None:
    headers = {**TUS, "Upload-Length": "10", "Upload-Metadata": metadata}
    answer = site.client.post("/api/uploads", headers=headers)
    assert answer.status_code == (201 if metadata == "filename" else 400)
    assert site.service.uploads.standing().uploads == (answer.status_code == 201)


def test_other_sites_may_not_upload(site: Web) -> None:
    where = create(site).headers["Location"]
    foreign = {"Sec-Fetch-Site": "cross-site"}
    assert create(site, **foreign).status_code == 403
    assert patch(site, where, 0, DATA, **foreign).status_code == 403
    assert site.client.delete(where, headers={**TUS, **foreign}).status_code == 403


def test_with_a_token_it_is_asked_for(web: MakeWeb) -> None:
    site = web(token="correct-horse")
    bearer = {"Authorization": "Bearer correct-horse"}
    assert create(site).status_code == 401
    assert site.client.options("/api/uploads").status_code == 204
    where = create(site, **bearer).headers["Location"]
    assert head(site, where).status_code == 401
    assert patch(site, where, 0, DATA).status_code == 401
    assert site.client.delete(where, headers=TUS).status_code == 401
    assert patch(site, where, 0, DATA, **bearer).status_code == 204


def test_somebody_elses_upload_is_as_one_that_never_was(web: MakeWeb) -> None:
    site = web(token="correct-horse", upload_token="battery-staple", anonymous_uploads=True)
    program = {"Authorization": "Bearer battery-staple"}
    where = create(site).headers["Location"]  # in a browser without a token, whose cookie the client keeps
    assert head(site, where).status_code == 200
    assert patch(site, where, 0, DATA[:1000], **program).status_code == 404
    assert site.client.head(where, headers={**TUS, **program}).status_code == 404
    assert site.client.delete(where, headers={**TUS, **program}).status_code == 404
    assert patch(site, where, 0, DATA).status_code == 204
    assert site.service.record(where.rsplit("/", 1)[1]).owner not in (None, "upload-token")
    assert site.client.head(where, headers={**TUS, **program}).status_code == 404
    mine = create(site, **program).headers["Location"]
    assert patch(site, mine, 0, DATA, **program).status_code == 204
    assert site.service.record(mine.rsplit("/", 1)[1]).owner == "upload-token"


def test_a_client_may_hold_so_many_at_once(web: MakeWeb) -> None:
    site = web(max_uploads_per_client=1)
    where = create(site).headers["Location"]
    assert create(site).status_code == 429
    assert patch(site, where, 0, DATA[:1000]).status_code == 204
    assert patch(site, where, 1000, DATA[1000:]).status_code == 204
    where = create(site).headers["Location"]
    assert site.client.delete(where, headers=TUS).status_code == 204
    assert create(site).status_code == 201

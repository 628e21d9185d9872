"""What upload endpoints take and refuse, byte for byte, and that it all adds up."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from typing import Any

import pytest

from doubles import Gate, lawful, original, ours
from imgpool.web.receive import CHUNK_BYTES
from webclient import Untouchable, Web, body

Make = Callable[..., Web]
FORM = "multipart/form-data; boundary=XxX"


class Breaking(io.RawIOBase):
    """A body that breaks off with an error after some bytes, as sockets do."""

    def __init__(self, data: bytes, error: BaseException) -> None:
        self._data, self._error = io.BytesIO(data), error

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        read = self._data.readinto(buffer)
        if not read:
            raise self._error
        return read


def assert_problem(answer: Any, status: int, kind: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.mimetype == "application/problem+json"
    told: dict[str, Any] = answer.json
    assert told["status"] == status
    assert told["type"] == f"/problems/{kind}"
    assert told["title"]
    assert told["detail"].endswith(".")
    assert len(told["refused"]) >= 1
    for each in told["refused"]:
        assert set(each) == {"name", "status", "type", "title", "detail"}
    assert told["refused"][0]["detail"] == told["detail"]
    return told


def assert_adds_up(web: Web) -> None:
    """Nothing is left half done, and every upload was counted once."""
    service = web.service
    service.settled()
    told = web.status()
    since, counts = told["since_start"], told["counts"]
    assert since["received"] == since["accepted"] + since["refused"]
    assert since["refused"] == sum(told["refused_by"].values())
    assert lawful(service.records.counts())
    assert since["accepted"] == counts["accepted"]
    assert told["pool"]["queue"]["reserved"] == 0
    kept = {path.name for path in (service.settings.data_dir / "originals").iterdir()}
    assert kept == {record.id for record in service.page(None, 10_000, None)}


@pytest.mark.parametrize("beyond", [-1, 0, 1, CHUNK_BYTES])
def test_a_body_of_any_number_of_chunks_is_kept_byte_for_byte(web: Make, images: dict[str, bytes], beyond: int) -> None:
    site = web()
    filling = random.Random(beyond).randbytes(CHUNK_BYTES + beyond - len(images["jpeg"]))
    answer = site.client.post("/api/images", data=images["jpeg"] + filling, content_type="image/jpeg")
    assert answer.status_code == 202
    assert original(site.service, answer.json["images"][0]["id"]).read_bytes() == images["jpeg"] + filling


def test_a_form_with_good_and_bad_files(web: Make, images: dict[str, bytes]) -> None:
    site = web()
    answer = site.form(
        [
            ("title", None, b"not a file"),
            ("file", "a/one.jpg", images["jpeg"]),
            ("file", "two.jpg", images["text"]),
            ("other", "three.jpg", images["jpeg"]),
            ("file", "four.png", images["bomb"]),
            ("file", "five.gif", images["gif"]),
            ("file", "six.jpg", b""),
            ("file", "", b""),
        ]
    )
    assert answer.status_code == 202
    told = answer.json
    assert set(told) == {"images", "refused"}
    assert [image["name"] for image in told["images"]] == ["one.jpg", "five.gif"]
    for image in told["images"]:
        assert set(image) == {"id", "name", "state", "url"}
        assert image["url"] == f"/api/images/{image['id']}"
        assert image["state"] == "queued"
        assert site.client.get(image["url"]).json["name"] == image["name"]
    assert [(each["name"], each["status"]) for each in told["refused"]] == [
        ("two.jpg", 415),
        ("four.png", 422),
        ("six.jpg", 400),
    ]
    assert site.status()["refused_by"] == {"unsupported_format": 1, "header_over_limit": 1, "no_file": 1}
    assert_adds_up(site)
    assert site.service.records.counts().done == 2


def test_a_form_of_bad_files_is_a_problem_with_all_of_them(web: Make, images: dict[str, bytes]) -> None:
    site = web()
    answer = site.form([("file", "a.svg", images["svg"]), ("file", "b.png", images["bomb"])])
    told = assert_problem(answer, 415, "unsupported-format")
    assert [each["status"] for each in told["refused"]] == [415, 422]
    assert_adds_up(site)


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [("other", "a.jpg", b"GIF89a")],
        [("file", "", b"")],
        [("file", "", b""), ("title", None, b"x")],
    ],
    ids=["empty", "other name", "no file chosen", "none chosen and a field"],
)
def test_a_form_without_a_file(web: Make, parts: list[tuple[str, str | None, bytes]]) -> None:
    site = web()
    assert_problem(site.form(parts), 400, "no-file")
    assert_adds_up(site)


def test_a_file_part_without_a_filename_is_taken(web: Make, images: dict[str, bytes]) -> None:
    site = web()
    answer = site.form([("file", None, images["jpeg"])])
    assert answer.status_code == 202
    assert answer.json["images"][0]["name"] == "unnamed"
    assert_adds_up(site)


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary="])
def test_a_form_without_a_boundary(web: Make, images: dict[str, bytes], content_type: str) -> None:
    site = web()
    answer = site.client.post("/api/images", data=body([("file", "a", images["gif"])]), content_type=content_type)
    assert_problem(answer, 400, "no-file")
    assert_adds_up(site)


BROKEN = {
    "boundary of another": lambda gif: body([("file", "a", gif)], "YyY"),
    "cut in the picture": lambda gif: body([("file", "a", gif)])[:-300],
    "cut in the headers": lambda gif: body([("file", "a", gif)])[:30],
    "cut in the last boundary": lambda gif: body([("file", "a", gif)])[:-4],
    "no disposition": lambda gif: b"--XxX\r\nContent-Type: image/gif\r\n\r\n" + gif + b"\r\n--XxX--\r\n",
    "no name": lambda gif: b"--XxX\r\nContent-Disposition: form-data\r\n\r\n" + gif + b"\r\n--XxX--\r\n",
    "odd charset": lambda gif: b"--XxX\r\nContent-Disposition: form-data; name=file; filename*=klingon''%ff\r\n\r\n",
    "headers that are not text": lambda gif: b"--XxX\r\n\xff\xfe: \x00\r\n\r\n" + gif + b"\r\n--XxX--\r\n",
    "nothing at all": lambda gif: b"",
    "huge headers": lambda gif: b"--XxX\r\nContent-Disposition: " + b"x" * 700_000,
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_form_is_refused_and_leaves_nothing(web: Make, images: dict[str, bytes], kind: str) -> None:
    site = web()
    answer = site.client.post("/api/images", data=BROKEN[kind](images["gif"]), content_type=FORM)
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.mimetype == "application/problem+json"
    assert ours(site.service.settings) == set()
    assert site.status()["since_start"] == {"received": 1, "accepted": 0, "refused": 1}
    assert_adds_up(site)


def test_what_came_before_the_form_broke_is_kept(web: Make, images: dict[str, bytes]) -> None:
    site = web()
    whole = body([("file", "good.gif", images["gif"]), ("file", "cut.gif", images["gif"])])
    answer = site.client.post("/api/images", data=whole[:-200], content_type=FORM)
    assert answer.status_code == 202
    assert [image["name"] for image in answer.json["images"]] == ["good.gif"]
    assert [(each["name"], each["status"]) for each in answer.json["refused"]] == [("cut.gif", 400)]
    assert_adds_up(site)


@pytest.mark.parametrize("terminated", [True, False], ids=["gunicorn", "others"])
def test_a_body_shorter_than_announced(web: Make, images: dict[str, bytes], terminated: bool) -> None:
    site = web()
    for content_type, data in (("image/gif", images["gif"]), (FORM, body([("file", "a", images["gif"])])[:-30])):
        answer = site.client.post(
            "/api/images",
            content_type=content_type,
            environ_overrides={
                "wsgi.input": io.BytesIO(data),
                "wsgi.input_terminated": terminated,
                "CONTENT_LENGTH": str(len(data) + 50),
            },
        )
        assert_problem(answer, 400, "incomplete")
    assert_adds_up(site)


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [(TimeoutError("timed out"), 408, "too-slow"), (ConnectionResetError(), 400, "incomplete")],
)
@pytest.mark.parametrize("content_type", ["image/gif", FORM])
def test_a_client_that_is_too_slow_or_gone(
    web: Make, images: dict[str, bytes], error: BaseException, status: int, kind: str, content_type: str
) -> None:
    site = web()
    data = images["gif"] if content_type != FORM else body([("file", "a", images["gif"])])
    answer = site.client.post(
        "/api/images",
        content_type=content_type,
        environ_overrides={
            "wsgi.input": io.BufferedReader(Breaking(data[:1000], error)),
            "wsgi.input_terminated": True,  # as gunicorn says; else Werkzeug makes its own error of any other
            "CONTENT_LENGTH": str(len(data)),
        },
    )
    assert_problem(answer, status, kind)
    assert ours(site.service.settings) == set()
    assert_adds_up(site)


def test_more_files_than_allowed(web: Make, images: dict[str, bytes]) -> None:
    site = web(max_files=2)
    answer = site.form([("file", f"{number}.gif", images["gif"]) for number in range(5)])
    assert answer.status_code == 202
    assert len(answer.json["images"]) == 2
    assert [each["status"] for each in answer.json["refused"]] == [413]
    assert_adds_up(site)


def test_five_hundred_tiny_parts(web: Make) -> None:
    site = web()
    assert_problem(site.form([(f"f{number}", None, b"x") for number in range(500)]), 400, "no-file")
    assert_problem(site.form([(f"f{number}", None, b"x") for number in range(1200)]), 413, "too-many-files")
    answer = site.form([("file", f"{number}", b"x") for number in range(500)])
    assert len(assert_problem(answer, 415, "unsupported-format")["refused"]) == 500
    assert_adds_up(site)


def test_a_raw_body_with_a_name(web: Make, images: dict[str, bytes]) -> None:
    site = web()
    answer = site.client.post("/api/images?name=a/%C3%BC.jpg", data=images["jpeg"])
    assert answer.status_code == 202
    assert answer.json["images"][0]["name"] == "ü.jpg"
    assert answer.json["refused"] == []
    assert site.client.post("/api/images", data=images["jpeg"]).json["images"][0]["name"] == "unnamed"
    assert_adds_up(site)


@pytest.mark.parametrize(
    ("name", "status", "kind"),
    [("text", 415, "unsupported-format"), ("svg", 415, "unsupported-format"), ("bomb", 422, "header-over-limit")],
)
def test_raw_refusals(web: Make, images: dict[str, bytes], name: str, status: int, kind: str) -> None:
    site = web()
    told = assert_problem(site.raw(images[name], "x.jpg"), status, kind)
    assert told["refused"][0]["name"] == "x.jpg"
    assert_adds_up(site)


def test_an_empty_raw_body(web: Make) -> None:
    site = web()
    assert_problem(site.raw(b""), 400, "no-file")
    assert_adds_up(site)


@pytest.mark.parametrize(
    ("path", "content_type", "length"),
    [("/api/images", "image/jpeg", 1001), ("/api/images", FORM, 2001), ("/upload", FORM, 2001)],
)
def test_announced_too_large_is_refused_with_the_body_unread(
    web: Make, path: str, content_type: str, length: int
) -> None:
    site = web(max_upload_bytes=1000, max_request_bytes=2000)
    answer = site.client.post(
        path,
        content_type=content_type,
        environ_overrides={"wsgi.input": io.BufferedReader(Untouchable()), "CONTENT_LENGTH": str(length)},
    )
    assert answer.status_code == 413, answer.text
    assert site.status()["refused_by"] == {"too_large": 1}
    assert_adds_up(site)


def test_too_large_without_an_announcement(web: Make, images: dict[str, bytes]) -> None:
    site = web(max_upload_bytes=3000)
    answer = site.client.post(
        "/api/images",
        environ_overrides={"wsgi.input": io.BytesIO(images["jpeg"]), "wsgi.input_terminated": True},
    )
    assert_problem(answer, 413, "too-large")
    assert site.form([("file", "a", images["jpeg"]), ("file", "b", images["tiny"])]).status_code == 202
    assert_adds_up(site)


def test_a_request_too_large_without_an_announcement(web: Make, images: dict[str, bytes]) -> None:
    site = web(max_request_bytes=3000)
    answer = site.client.post(
        "/api/images",
        content_type=FORM,
        environ_overrides={
            "wsgi.input": io.BytesIO(body([("file", "a", images["jpeg"])])),
            "wsgi.input_terminated": True,
        },
    )
    assert_problem(answer, 413, "too-large")
    assert_adds_up(site)


@pytest.mark.parametrize(
    ("path", "content_type"), [("/api/images", "image/jpeg"), ("/api/images", FORM), ("/upload", FORM)]
)
def test_a_full_queue_refuses_with_the_body_unread(
    web: Make, images: dict[str, bytes], path: str, content_type: str
) -> None:
    site = web(queue_capacity=1)
    site.service.pool.pause()
    assert site.raw(images["tiny"]).status_code == 202
    answer = site.client.post(
        path,
        content_type=content_type,
        environ_overrides={"wsgi.input": io.BufferedReader(Untouchable()), "CONTENT_LENGTH": "500"},
    )
    assert answer.status_code == 503, answer.text
    assert 1 <= int(answer.headers["Retry-After"]) <= 120
    assert site.status()["refused_by"] == {"no_room": 1}
    site.service.pool.resume()
    assert_adds_up(site)


def test_a_form_takes_what_there_is_room_for(web: Make, images: dict[str, bytes]) -> None:
    site = web(queue_capacity=2)
    site.service.pool.pause()
    answer = site.form([("file", f"{number}.gif", images["gif"]) for number in range(4)])
    assert answer.status_code == 202
    assert len(answer.json["images"]) == 2
    assert [(each["name"], each["status"]) for each in answer.json["refused"]] == [("2.gif", 503), ("3.gif", 503)]
    assert int(answer.headers["Retry-After"]) >= 1
    site.service.pool.resume()
    assert_adds_up(site)


def test_a_disk_at_its_floor_is_507(web: Make, images: dict[str, bytes]) -> None:
    site = web(disk_floor_bytes=1 << 50)
    answer = site.raw(images["jpeg"])
    assert_problem(answer, 507, "disk-full")
    assert answer.headers["Retry-After"] == "60"


def test_while_draining_it_is_503(web: Make, images: dict[str, bytes]) -> None:
    site = web(gate=Gate())
    site.service.drain_soon()
    answer = site.raw(images["jpeg"])
    assert_problem(answer, 503, "draining")
    assert "Retry-After" in answer.headers
    assert_adds_up(site)


def test_names_cannot_break_anything(web: Make, images: dict[str, bytes]) -> None:
    site = web()
    for name in ("..\\..\\x.jpg", "%00%0d%0aSet-Cookie:%20a=b", "%ff%fe", "%F0%9F%98%80" * 300, "<script>"):
        answer = site.client.post(f"/api/images?name={name}", data=images["tiny"])
        assert answer.status_code == 202
        told = answer.json["images"][0]["name"]
        assert told.isprintable()
        assert len(told) <= 200
    assert_adds_up(site)


def test_whatever_is_thrown_at_the_endpoints_adds_up(web: Make, images: dict[str, bytes]) -> None:
    """A few hundred damaged forms: each is answered, none with a 500, and received = accepted + refused."""
    site = web(queue_capacity=64, max_upload_bytes=20_000)
    whole = body([("file", "a.gif", images["tiny"]), ("t", None, b"x"), ("file", "b.jpg", images["tiny"])])
    dice = random.Random(20260)
    types = [FORM, "multipart/form-data; boundary=X\xff", 'multipart/form-data; boundary="a b"', "text/plain", "", "/"]
    for turn in range(300):
        damaged = bytearray(whole)
        for _ in range(dice.choice((0, 1, 1, 3, 20))):
            at = dice.randrange(len(damaged))
            match dice.randrange(3):
                case 0:
                    damaged[at] = dice.randrange(256)
                case 1:
                    del damaged[at : at + dice.randrange(1, 40)]
                case _:
                    damaged[at:at] = dice.choice((b"\r\n", b"--XxX\r\n", b"--XxX--\r\n", b"\0", b";", b'"'))
        answer = site.client.post(
            dice.choice(("/api/images", "/api/images?name=x", "/upload")),
            data=bytes(damaged),
            content_type=dice.choice([*([FORM] * 4), *types]),
        )
        assert answer.status_code in (200, 202, 303, 400, 413, 415, 422, 503), (turn, answer.text)
    assert_adds_up(site)
    since = site.status()["since_start"]
    assert since["received"] >= 300
    assert since["accepted"] > 50
    assert since["refused"] > 50


@pytest.mark.parametrize(
    "content_type", ["application/x-www-form-urlencoded", "image/png", "text/html", "application/octet-stream", "", "?"]
)
def test_a_raw_body_is_taken_by_its_bytes_whatever_it_is_said_to_be(
    web: Make, images: dict[str, bytes], content_type: str
) -> None:
    site = web()
    answer = site.client.post("/api/images", data=images["jpeg"], content_type=content_type)
    assert answer.status_code == 202
    site.service.settled()
    assert site.service.records.counts().done == 1


def test_line_ends_and_boundaries_inside_a_picture_are_its_own(web: Make, images: dict[str, bytes]) -> None:
    """What looks almost like the end of the part, at the edges of chunks too, belongs to the file."""
    site = web()
    for padding in (0, 1, 65_530, 65_535, 65_536, 131_070):
        data = images["tiny"] + b"\r\n--Xx" * 3 + b"-" * padding + b"\r\n--XxY\r\n--Xx-\r" + b"\n\r\n"
        answer = site.form([("file", "a.bmp", data)])
        assert answer.status_code == 202
        assert original(site.service, answer.json["images"][0]["id"]).read_bytes() == data
    site.service.settled()

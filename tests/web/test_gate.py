"""The gate decides at the headers what the application would decide, and says it in the same words."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from werkzeug.test import EnvironBuilder

from imgpool.errors import DiskFull, Draining, NoRoom, Refused, TooManyUploads, UploadTooLarge
from imgpool.web.admission import Admission, Admitted, address_key
from imgpool.web.gate import Gate
from webclient import Web, cookie_of

Make = Callable[..., Web]
TOKEN = "a-token-for-tests"


def gate(site: Web) -> Gate:
    found: Gate = site.client.application.extensions["imgpool.gate"]
    return found


def environ(path: str = "/api/images?name=a.jpg", method: str = "POST", peer: str = "127.0.0.1", **headers: str) -> Any:
    builder = EnvironBuilder(path, method=method, headers=headers, content_type="image/jpeg")
    return {**builder.get_environ(), "CONTENT_LENGTH": "1000", "REMOTE_ADDR": peer}


def refused(site: Web, **given: Any) -> Refused:
    decision = gate(site).decide(environ(**given))
    assert isinstance(decision, Refused)
    return decision


def test_an_upload_gets_a_slot_and_gives_it_back(web: Make) -> None:
    site = web(queue_capacity=1)
    admitted = gate(site).decide(environ())
    assert isinstance(admitted, Admitted)
    assert site.status()["pool"]["queue"]["reserved"] == 1
    assert isinstance(refused(site), NoRoom)
    for _ in range(2):
        admitted.close()
        assert site.status()["pool"]["queue"]["reserved"] == 0


@pytest.mark.parametrize(
    "given",
    [
        {"path": "/api/images/"},
        {"path": "/api/status"},
        {"path": "/sign-in"},
        {"method": "GET"},
        {"method": "PUT"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://evil.example"},
        {"Authorization": "Bearer wrong"},
        {"Cookie": "imgpool=eyJzaWduZWRfaW4iOnRydWV9.forged"},
    ],
    ids=str,
)
def test_what_needs_a_closer_look_is_left_to_the_application_and_holds_nothing(web: Make, given: Any) -> None:
    site = web(token=TOKEN, queue_capacity=1)
    right = {} if "Authorization" in given or "Cookie" in given else {"Authorization": f"Bearer {TOKEN}"}
    assert gate(site).decide(environ(**{**right, **given})) is None
    admitted = gate(site).decide(environ(Authorization=f"Bearer {TOKEN}"))
    assert isinstance(admitted, Admitted), "the one slot is free"
    admitted.close()


def test_uploaders_pass_the_gate_and_others_do_not(web: Make) -> None:
    for given, headers, passes in (
        ({"anonymous_uploads": True}, {}, True),
        ({"anonymous_uploads": True}, {"Authorization": "Bearer wrong"}, False),
        ({"upload_token": "another-token"}, {"Authorization": "Bearer another-token"}, True),
        ({"upload_token": "another-token"}, {}, False),
        ({"anonymous_uploads": True}, {"Host": "evil.example"}, False),
    ):
        site = web(token=TOKEN, **given)  # type: ignore[arg-type]
        admitted = gate(site).decide(environ(**headers))  # type: ignore[arg-type]
        assert isinstance(admitted, Admitted) is passes, (given, headers)
        if isinstance(admitted, Admitted):
            admitted.close()
        site.service.stop()


def test_a_signed_in_browser_passes_the_gate(web: Make) -> None:
    site = web(token=TOKEN)
    site.client.post("/sign-in", data={"token": TOKEN})
    cookie = cookie_of(site.client)
    assert cookie is not None
    admitted = gate(site).decide(environ(Cookie=f"{cookie.key}={cookie.value}"))
    assert isinstance(admitted, Admitted)
    admitted.close()


def full(site: Web) -> Callable[[], object]:
    return site.service.admit().discard


def draining(site: Web) -> Callable[[], object]:
    site.service.drain_soon()
    return lambda: None


@pytest.mark.parametrize(
    ("made", "given", "kind"),
    [
        (full, {"queue_capacity": 1}, NoRoom),
        (draining, {}, Draining),
        (None, {"disk_floor_bytes": 1 << 50}, DiskFull),
        (None, {"max_upload_bytes": 999}, UploadTooLarge),
    ],
)
@pytest.mark.parametrize("name", ["a.jpg", "%3Cb%3E%E2%80%AE..%2Fx.png", ""])
def test_its_answer_is_the_one_that_the_application_gives(
    web: Make, made: Any, given: dict[str, Any], kind: type[Refused], name: str
) -> None:
    site = web(**given)
    undo = made(site) if made else lambda: None
    asked = environ(f"/api/images?name={name}")
    refusal = gate(site).decide(asked)
    assert isinstance(refusal, kind)
    before = site.service.measures.snapshot().refused
    status, lines, body = gate(site).answer(asked, refusal)  # type: ignore[misc]
    assert site.service.measures.snapshot().refused == before + 1
    answer = site.client.post(f"/api/images?name={name}", data=b"x" * 1000, content_type="image/jpeg")
    assert int(status[:3]) == answer.status_code

    def but_the_jitter(text: str) -> str:
        return re.sub(r"\d+ s\.", "N s.", text)

    assert but_the_jitter(body.decode()) == but_the_jitter(answer.text)
    jittered = {"Retry-After", "Content-Length"}
    headers = dict(line.split(": ", 1) for line in lines.splitlines())
    for header in headers.keys() | answer.headers.keys():
        assert header in headers
        assert header in jittered or headers[header] == answer.headers[header]
    assert json.loads(body)["refused"][0]["name"]
    undo()


@pytest.mark.parametrize(
    ("made", "given", "kind"),
    [
        (full, {"queue_capacity": 1}, NoRoom),
        (None, {"disk_floor_bytes": 1 << 50}, DiskFull),
        (None, {"max_upload_bytes": 999}, UploadTooLarge),
    ],
)
def test_its_page_is_the_one_that_the_application_shows(
    web: Make, made: Any, given: dict[str, Any], kind: type[Refused]
) -> None:
    site = web(**given)
    undo = made(site) if made else lambda: None
    asked = environ("/upload")
    refusal = gate(site).decide(asked)
    assert isinstance(refusal, kind)
    for times in (1, 2):  # drawn, and remembered
        status, lines, body = gate(site).answer(asked, refusal)  # type: ignore[misc]
        assert site.service.measures.snapshot().refused == times
    answer = site.client.post("/upload", data=b"x" * 1000, content_type="image/jpeg")
    assert int(status[:3]) == answer.status_code

    def but_the_jitter(text: str) -> str:
        return re.sub(r"\d+ s\b", "N s", text)

    assert but_the_jitter(body.decode()) == but_the_jitter(answer.text)
    jittered = {"Retry-After", "Content-Length"}
    headers = dict(line.split(": ", 1) for line in lines.splitlines())
    assert headers.keys() == dict(answer.headers).keys()
    assert all(headers[name] == answer.headers[name] for name in headers.keys() - jittered)
    assert int(headers["Content-Length"]) == len(body)
    undo()


@pytest.mark.parametrize(("given", "path"), [({"token": TOKEN}, "/upload"), ({}, "/upload?name=a.jpg")])
def test_a_page_that_is_not_the_same_for_all_is_left_to_the_application(
    web: Make, given: dict[str, Any], path: str
) -> None:
    site = web(queue_capacity=1, **given)
    undo = full(site)
    asked = environ(path, Authorization=f"Bearer {TOKEN}")
    refusal = gate(site).decide(asked)
    assert isinstance(refusal, NoRoom)
    assert gate(site).answer(asked, refusal) is None
    assert site.service.measures.snapshot().refused == 0
    undo()


def test_one_address_has_no_more_uploads_open_than_allowed(web: Make) -> None:
    site = web(max_uploads_per_client=2)
    held = [gate(site).decide(environ()) for _ in range(2)]
    assert all(isinstance(each, Admitted) for each in held)
    refusal = refused(site)
    assert isinstance(refusal, TooManyUploads)
    assert refusal.retry_after_s >= 1  # type: ignore[operator]
    other = gate(site).decide(environ(peer="127.0.0.2"))
    assert isinstance(other, Admitted)
    answer = site.raw(b"x")
    assert (answer.status_code, answer.json["type"]) == (429, "/problems/too-many-uploads")
    for each in (*held, other):
        each.close()  # type: ignore[union-attr]
    again = gate(site).decide(environ())
    assert isinstance(again, Admitted)
    again.close()


def test_a_refused_upload_does_not_count_against_its_address(web: Make, images: dict[str, bytes]) -> None:
    site = web(max_uploads_per_client=1, queue_capacity=1)
    undo = full(site)
    assert site.raw(images["jpeg"]).status_code == 503
    undo()
    assert site.raw(images["jpeg"]).status_code == 202
    site.service.settled()  # its place is free
    assert site.raw(b"no picture").status_code == 415
    assert site.raw(images["jpeg"]).status_code == 202


def test_behind_a_trusted_proxy_the_client_is_the_one_it_names(web: Make) -> None:
    import ipaddress

    trusted = (ipaddress.ip_network("127.0.0.1"), ipaddress.ip_network("10.0.0.0/8"))
    site = web(max_uploads_per_client=1, trusted_proxies=trusted)

    def decide(forwarded: str, peer: str = "127.0.0.1") -> object:
        return gate(site).decide(environ(peer=peer, **{"X-Forwarded-For": forwarded}))

    first = decide("192.0.2.1")
    assert isinstance(first, Admitted)
    for same in ("192.0.2.1", "198.51.100.7, 192.0.2.1", "192.0.2.1, 10.1.2.3"):
        assert isinstance(decide(same), TooManyUploads), same
    for other in ("192.0.2.2", "192.0.2.1, 192.0.2.2", "nonsense, 192.0.2.9", "192.0.2.1, nonsense", "", ","):
        let_in = decide(other)
        assert isinstance(let_in, Admitted), other
        let_in.close()
    stranger = decide("192.0.2.1", peer="203.0.113.5")
    assert isinstance(stranger, Admitted), "not a trusted peer: what it says is ignored"
    assert isinstance(decide("192.0.2.77", peer="203.0.113.5"), TooManyUploads)
    for each in (first, stranger):
        each.close()


def test_scheme_and_host_come_from_a_trusted_proxy_only(web: Make) -> None:
    import ipaddress

    told = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "photos.example", "Origin": "https://photos.example"}
    site = web(trusted_proxies=(ipaddress.ip_network("127.0.0.1"),), allowed_hosts=("photos.example",))
    admitted = gate(site).decide(environ(**told))
    assert isinstance(admitted, Admitted)
    admitted.close()
    stranger = environ(peer="203.0.113.5", **told)
    assert gate(site).decide(stranger) is None, "the origin is not the host that was called"
    other = {**told, "X-Forwarded-Host": "evil.example", "Origin": "https://evil.example"}
    assert gate(site).decide(environ(**other)) is None, "the proxy was called by a name that is not ours"


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        (None, ""),
    ],
)
def test_what_counts_as_one_client(address: str | None, key: str) -> None:
    assert address_key(address) == key


def test_admission_leaves_nothing_behind(web: Make, images: dict[str, bytes]) -> None:
    site = web(max_uploads_per_client=3)
    for _ in range(5):
        assert site.raw(images["jpeg"]).status_code == 202
        site.service.settled()
    admission: Admission = site.client.application.extensions["imgpool.admission"]
    assert not admission._open

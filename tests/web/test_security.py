"""Who may ask: other sites' pages, the token, and the headers on every answer."""

from __future__ import annotations

import io
import ipaddress
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from imgpool.web.security import HEADERS
from webclient import Untouchable, Web, body, cookie_name, cookie_of

Make = Callable[..., Web]
TOKEN = "a-token-for-tests"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
NOBODY = "0" * 32


def test_the_headers_are_on_every_answer(web: Make, images: dict[str, bytes]) -> None:
    site = web()
    image_id = site.done(images["jpeg"])
    paths = ["/", "/status", f"/images/{image_id}", f"/api/images/{image_id}", f"/api/images/{image_id}/thumb"]
    paths += ["/api/status", "/metrics", "/healthz", "/readyz", "/nothing", "/api/nothing", "/static/favicon.svg"]
    for path in paths:
        answer = site.client.get(path)
        for name, value in HEADERS.items():
            assert answer.headers[name] == value, (path, name)
        answer.close()
    policy = HEADERS["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert HEADERS["X-Content-Type-Options"] == "nosniff"


CROSS_SITE: list[dict[str, str]] = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "anything"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
    {"Origin": "http://evil.example"},
    {"Origin": "http://localhost.evil.example"},
    {"Origin": "http://localhost:8001"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "http://["},
]


@pytest.mark.parametrize("headers", CROSS_SITE, ids=str)
@pytest.mark.parametrize("path", ["/api/images", "/upload"])
def test_an_upload_from_another_site_is_refused_unread_and_counted(
    web: Make, headers: dict[str, str], path: str
) -> None:
    site = web()
    answer = site.client.post(
        path,
        headers=headers,
        content_type="multipart/form-data; boundary=XxX",
        environ_overrides={"wsgi.input": io.BufferedReader(Untouchable()), "CONTENT_LENGTH": "500"},
    )
    assert answer.status_code == 403, answer.text
    assert site.status()["since_start"] == {"received": 1, "accepted": 0, "refused": 1}
    assert site.status()["refused_by"] == {"cross_site": 1}


def test_deleting_and_signing_out_from_another_site_are_refused(web: Make, images: dict[str, bytes]) -> None:
    site = web()
    image_id = site.done(images["tiny"])
    for headers in CROSS_SITE:
        assert site.client.delete(f"/api/images/{image_id}", headers=headers).status_code == 403
        for path in (f"/images/{image_id}/delete", "/sign-out", "/sign-in"):
            assert site.client.post(path, headers=headers).status_code == 403
    assert site.client.get(f"/api/images/{image_id}", headers=CROSS_SITE[0]).status_code == 200
    assert site.status()["since_start"]["refused"] == 0, "only uploads count"


@pytest.mark.parametrize(
    "headers",
    [{}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {"Origin": "http://localhost"}],
    ids=str,
)
def test_our_own_pages_and_programs_may(web: Make, images: dict[str, bytes], headers: dict[str, str]) -> None:
    site = web()
    assert site.raw(images["tiny"], headers=headers).status_code == 202
    site.service.settled()


def test_without_the_token_there_is_nothing(web: Make, images: dict[str, bytes]) -> None:
    site = web(token=TOKEN)
    asked: list[Any] = [
        site.client.get("/api/images"),
        site.client.get("/api/status"),
        site.client.get("/metrics"),
        site.client.get(f"/api/images/{NOBODY}"),
        site.client.get(f"/api/images/{NOBODY}/thumb"),
        site.client.delete(f"/api/images/{NOBODY}"),
        site.client.post(f"/images/{NOBODY}/delete"),
        site.raw(images["jpeg"]),
    ]
    for answer in asked:
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert answer.mimetype == "application/problem+json"
        assert TOKEN not in answer.text
    for path in ("/healthz", "/readyz", "/api/openapi.json", "/sign-in"):
        assert site.client.get(path).status_code == 200


def test_an_upload_without_the_token_is_unread_and_counted(web: Make) -> None:
    site = web(token=TOKEN)
    answer = site.client.post(
        "/api/images",
        environ_overrides={"wsgi.input": io.BufferedReader(Untouchable()), "CONTENT_LENGTH": "500"},
    )
    assert answer.status_code == 401
    told = site.client.get("/api/status", headers=BEARER).json
    assert told["refused_by"] == {"unauthorized": 1}
    assert told["since_start"] == {"received": 1, "accepted": 0, "refused": 1}


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer  {TOKEN} ", 200),
        (f"Bearer {TOKEN}x", 401),
        (f"Bearer {TOKEN[:-1]}", 401),
        ("Bearer", 401),
        ("Bearer ", 401),
        (f"Basic {TOKEN}", 401),
        (TOKEN, 401),
        ("Bearer \xff\xfe", 401),
    ],
)
def test_the_bearer_token(web: Make, given: str, status: int) -> None:
    site = web(token=TOKEN)
    assert site.client.get("/api/status", headers={"Authorization": given}).status_code == status


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_pages_lead_to_the_sign_in_and_back(web: Make, method: str) -> None:
    site = web(token=TOKEN)
    for path, coming_back in (("/", "/"), ("/status?state=done", "/status?state=done")):
        answer = site.client.open(path, method=method)
        assert answer.status_code == 303
        where = urlsplit(answer.headers["Location"])
        assert where.path == "/sign-in"
        if method == "GET":
            signed_in = site.client.post(answer.headers["Location"], data={"token": TOKEN})
            assert signed_in.status_code == 303
            assert signed_in.headers["Location"] == coming_back
            site.client.post("/sign-out")
    assert site.client.open("/sign-in", method=method).status_code == 200


def test_signing_in_sets_a_careful_cookie_and_out_forgets_it(web: Make) -> None:
    site = web(token=TOKEN)
    wrong = site.client.post("/sign-in", data={"token": "wrong"})
    assert wrong.status_code == 401
    assert "Set-Cookie" not in wrong.headers
    assert site.client.post("/sign-in").status_code == 401
    right = site.client.post("/sign-in", data={"token": TOKEN})
    assert right.status_code == 303
    cookie = right.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Secure" not in cookie
    assert TOKEN not in cookie
    for path in ("/", "/status", "/api/status"):
        assert site.client.get(path).status_code == 200
    assert site.client.post("/sign-out").status_code == 303
    assert site.client.get("/api/status").status_code == 401


def test_over_https_the_cookie_travels_by_https_alone(web: Make) -> None:
    site = web(token=TOKEN)
    right = site.client.post("/sign-in", data={"token": TOKEN}, base_url="https://localhost")
    assert right.status_code == 303
    assert "Secure" in right.headers["Set-Cookie"]


@pytest.mark.parametrize(("trusted", "secure"), [("127.0.0.1", True), ("192.0.2.1", False)])
def test_a_trusted_proxy_says_whether_it_is_https(web: Make, trusted: str, secure: bool) -> None:
    site = web(token=TOKEN, trusted_proxies=(ipaddress.ip_network(trusted),))
    answer = site.client.post("/sign-in", data={"token": TOKEN}, headers={"X-Forwarded-Proto": "https"})
    assert ("Secure" in answer.headers["Set-Cookie"]) == secure


@pytest.mark.parametrize(("token", "status"), [(TOKEN, 200), (TOKEN + "2", 401)])
def test_a_cookie_outlives_a_restart_and_not_a_change_of_the_token(web: Make, token: str, status: int) -> None:
    first = web(token=TOKEN)
    first.client.post("/sign-in", data={"token": TOKEN})
    cookie = cookie_of(first.client)
    assert cookie is not None
    first.service.stop()
    second = web(token=token)
    second.client.set_cookie(cookie_name(second.client), cookie.value)
    assert second.client.get("/api/status").status_code == status


def test_a_forged_cookie_is_worth_nothing(web: Make) -> None:
    site = web(token=TOKEN)
    for value in ("eyJzaWduZWRfaW4iOnRydWV9", "eyJzaWduZWRfaW4iOnRydWV9.awQpHg.VkaYdGxkx5pQTMtYKVKbsJBhqiI", "x"):
        site.client.set_cookie(cookie_name(site.client), value)
        assert site.client.get("/api/status").status_code == 401


def test_without_a_token_signing_in_and_out_lead_home(web: Make) -> None:
    site = web()
    assert site.client.get("/sign-in?next=/status").headers["Location"] == "/status"
    for path in ("/sign-in", "/sign-out"):
        answer = site.client.post(path)
        assert (answer.status_code, answer.headers["Location"]) == (303, "/")


@pytest.mark.parametrize(
    "target",
    ["//evil.example", "/\\evil.example", "https://evil.example", "evil.example", "javascript:alert(1)", "",
     "/\t/evil.example", "/\n/evil.example", "/\r/evil.example", "\t//evil.example", " //evil.example",
     "/\t\\evil.example", "\\\\evil.example", "/\r\nSet-Cookie: a=b", "///evil.example", "/\x00/evil.example"],
)  # fmt: skip
def test_nobody_is_led_to_another_site(web: Make, target: str) -> None:
    site = web(token=TOKEN)
    answer = site.client.post("/sign-in", data={"token": TOKEN}, query_string={"next": target})
    assert answer.status_code == 303
    where = answer.headers["Location"]
    assert urlsplit(where).netloc == "", where
    assert urlsplit(where).scheme == "", where
    assert re.match(r"/([^/\\]|$)", where), where
    assert "a=b" not in answer.headers.get("Set-Cookie", "")


@pytest.mark.parametrize("token", [TOKEN, None])
@pytest.mark.parametrize("announced", [True, False])
def test_nobody_can_fill_the_disk_by_signing_in(web: Make, token: str | None, announced: bool) -> None:
    site = web(token=token)
    data = body([("next", None, b"/status"), ("token", "x", b"x" * 300_000)])
    given: dict[str, Any] = {"wsgi.input_terminated": True} if not announced else {}
    stream = io.BytesIO(data)
    answer = site.client.post(
        "/sign-in",
        content_type="multipart/form-data; boundary=XxX",
        environ_overrides={"wsgi.input": stream, **given, **({"CONTENT_LENGTH": str(len(data))} if announced else {})},
    )
    assert answer.status_code in (303, 413)
    assert stream.tell() <= 128 * 1024, "the body was read on"


OWN_NAMES = [
    "localhost", "localhost:8000", "LOCALHOST:8000", "localhost.", "a.localhost", "127.0.0.1", "127.0.0.1:8000",
    "[::1]:8000", "192.168.1.20:8000", "[fe80::1]", "images.example.com", "Images.Example.Com:443", "example.org",
    "a.b.example.org",
]  # fmt: skip
OTHER_NAMES = [
    "evil.example", "evil.example:8000", "images.example.com.evil.example", "evil-images.example.com", "example.com",
    "notexample.org", "localhost.evil.example", "evillocalhost", "127.0.0.1.evil.example", "127.0.0.1@evil.example",
    "evil.example/127.0.0.1", "localhost:8000:1", "[::1", "::1", "a b", " ", "0x7f.1", "2130706433",
    "localhost\xe9", "localhost,evil.example", "localhost:http",
]  # fmt: skip


@pytest.mark.parametrize("name", OWN_NAMES)
def test_the_server_answers_to_its_own_names(web: Make, name: str) -> None:
    site = web(allowed_hosts=("images.example.com", ".example.org"))
    assert site.client.get("/api/status", headers={"Host": name}).status_code == 200


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_another_name_is_refused_whatever_is_asked(web: Make, images: dict[str, bytes], name: str) -> None:
    site = web(allowed_hosts=("images.example.com", ".example.org"))
    given = {"environ_overrides": {"HTTP_HOST": name}}
    for path in ("/", "/status", "/api/status", "/api/images", "/metrics", "/healthz", "/static/base.css", "/nothing"):
        answer = site.client.get(path, **given)
        assert answer.status_code == 421, path
    assert "--allowed-hosts" in site.client.get("/api/status", **given).json["detail"]
    page = site.client.get("/", headers={"Accept": "text/html"}, **given)
    assert (page.mimetype, page.status_code) == ("text/html", 421)
    unread = {"wsgi.input": io.BufferedReader(Untouchable()), "CONTENT_LENGTH": "500", "HTTP_HOST": name}
    for path in ("/api/images", "/upload"):
        assert site.client.post(path, environ_overrides=unread).status_code == 421
    assert site.status()["refused_by"] == {"wrong_host": 2}
    assert site.status()["since_start"] == {"received": 2, "accepted": 0, "refused": 2}


def test_http_1_1_has_to_say_a_name(web: Make) -> None:
    site = web()
    for path in ("/healthz", "/api/status"):
        answer = site.client.get(path, environ_overrides={"HTTP_HOST": "", "SERVER_PROTOCOL": "HTTP/1.1"})
        assert answer.status_code == 400, path


def test_a_program_that_says_no_name_is_answered(web: Make) -> None:
    site = web()
    app = site.client.application
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/healthz", "SERVER_NAME": "x", "SERVER_PORT": "1"}
    environ["wsgi.url_scheme"] = "http"
    started: list[str] = []
    body_of = app({**environ, "wsgi.input": io.BytesIO()}, lambda status, headers: started.append(status))
    assert b"".join(body_of) == b"ok\n"
    assert started == ["200 OK"]


def test_any_name_will_do_when_the_setting_says_so(web: Make) -> None:
    assert web(allowed_hosts=("*",)).client.get("/api/status", headers={"Host": "evil.example"}).status_code == 200


def test_the_name_that_it_listens_on_is_its_own(web: Make) -> None:
    site = web(host="Images.Test")
    assert site.client.get("/api/status", headers={"Host": "images.test:8000"}).status_code == 200


def test_a_proxy_that_nobody_trusts_changes_no_name(web: Make) -> None:
    site = web(allowed_hosts=("good.example",))
    for headers, status in (
        ({"Host": "evil.example", "X-Forwarded-Host": "good.example"}, 421),
        ({"Host": "good.example", "X-Forwarded-Host": "evil.example"}, 200),
        ({"Host": "evil.example", "Forwarded": "host=good.example"}, 421),
    ):
        assert site.client.get("/api/status", headers=headers).status_code == status

"""Signed in at one host is signed in at all: whichever of them gets a browser's next request."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask.testing import FlaskClient

from imgpool.config import Settings
from imgpool.web import create_app
from webclient import cookie_name, cookie_of

TOKEN = "a-token-for-tests"


def browser(data_dir: Path, token: str = TOKEN, files: str = "s3://photos/one") -> FlaskClient:
    """At a host that has not started: rights are looked at before anything else is."""
    shared = {"broker": "redis://127.0.0.1:9/0", "database": "postgresql://127.0.0.1:9/none", "files": files}
    return create_app(Settings(data_dir=data_dir, token=token, **shared)).test_client()  # type: ignore[arg-type]


def carry(one: FlaskClient, other: FlaskClient) -> int:
    """What the other host answers with the one's cookie."""
    cookie = cookie_of(one)
    assert cookie is not None
    other.set_cookie(cookie_name(other), cookie.value)
    return other.get("/learn").status_code


def test_signed_in_at_one_host_is_signed_in_at_all(tmp_path: Path) -> None:
    one, other = browser(tmp_path / "one"), browser(tmp_path / "other")
    assert other.get("/learn").status_code == 303, "on to the sign-in page"
    assert one.post("/sign-in", data={"token": TOKEN}).status_code == 303
    assert cookie_name(one) == cookie_name(other)
    assert carry(one, other) == 503, "let in: it says that it has not started"
    assert not (tmp_path / "one" / "secret-key").exists(), "nothing to keep, nothing to carry from host to host"


@pytest.mark.parametrize(
    "changed", [{"token": "another-token"}, {"files": "s3://photos/two"}], ids=lambda each: next(iter(each))
)
def test_another_site_does_not_know_the_cookie(tmp_path: Path, changed: dict[str, str]) -> None:
    one, another = browser(tmp_path / "one"), browser(tmp_path / "another", **changed)
    one.post("/sign-in", data={"token": TOKEN})
    assert carry(one, another) == 303

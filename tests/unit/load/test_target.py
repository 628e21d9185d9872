"""Whom a load test may hit."""

from __future__ import annotations

from pathlib import Path

import pytest

from imgpool.load.pictures import read_pictures
from imgpool.load.target import LoadError, find_target


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://[::1]:8000/", "http://[::1]:8000"),
        ("https://localhost/photos/", "https://localhost:443/photos"),
    ],
)
def test_this_machine_needs_no_consent(url: str, found: str) -> None:
    assert find_target(url, None, consent=False).url == found


@pytest.mark.parametrize("url", ["http://192.0.2.1:8000", "https://[2001:db8::1]", "http://0.0.0.0:8000"])
def test_another_machine_does(url: str) -> None:
    with pytest.raises(LoadError, match="--yes-this-is-my-server"):
        find_target(url, None, consent=False)
    assert find_target(url, None, consent=True).host in url


@pytest.mark.parametrize("url", ["", "http://", "ftp://127.0.0.1", "http://127.0.0.1:99999", "http://127.0.0.1/?a=b"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(LoadError, match="is no server's address"):
        find_target(url, None, consent=True)


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="does not answer"):
        find_target("http://127.0.0.1:1", None, consent=False).check()


def test_pictures(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"a")
    (tmp_path / "note.txt").write_bytes(b"n")
    (tmp_path / "more").mkdir()
    (tmp_path / "more/b ä.PNG").write_bytes(b"b")
    assert [each.name for each in read_pictures([tmp_path])] == ["a.jpg", "b ä.PNG"]
    assert [each.body for each in read_pictures([tmp_path / "note.txt"])] == [b"n"], "named: sent whatever it is"
    assert read_pictures([tmp_path])[1].query == "name=b%20%C3%A4.PNG"
    names = {each.name for each in read_pictures([])}
    assert "mountain-lake.jpg" in names
    assert "bomb.png" not in names
    with pytest.raises(LoadError, match="no image in"):
        read_pictures([tmp_path / "more" / ".."])[:0] or read_pictures([_empty(tmp_path)])
    with pytest.raises(LoadError, match="cannot be read"):
        read_pictures([tmp_path / "absent.jpg"])


def _empty(parent: Path) -> Path:
    (parent / "empty").mkdir()
    return parent / "empty"

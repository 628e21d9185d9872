"""Whom an address lets in, before anything listens on it."""

from __future__ import annotations

import pytest

from imgpool.config import Settings
from imgpool.errors import SettingError
from imgpool.web.reach import check_reach


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.9.9.9", "::1", "localhost", "::ffff:127.0.0.1", "no.such.host.invalid"]
)
def test_this_machine_alone_needs_no_token(host: str) -> None:
    check_reach(Settings(), host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "0", ""])
def test_beyond_it_a_token_is_needed_or_the_word(host: str) -> None:
    with pytest.raises(SettingError, match="--open-to-everybody") as error:
        check_reach(Settings(), host)
    assert "--token" in str(error.value)
    assert len(str(error.value).splitlines()) == 1
    check_reach(Settings(token="a-token-for-tests"), host)
    check_reach(Settings(open_to_everybody=True), host)

"""The key that signs cookies: made once, and nobody else's to read."""

from __future__ import annotations

from pathlib import Path

import pytest

from imgpool.web.secret import secret_key


def test_the_key_is_made_once_and_is_nobody_elses_to_read(tmp_path: Path) -> None:
    key = secret_key(tmp_path / "new")
    assert len(key) == 64
    assert secret_key(tmp_path / "new") == key
    assert secret_key(tmp_path / "other") != key
    assert (tmp_path / "new" / "secret-key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["secret-key"]


@pytest.mark.parametrize(("content", "mode"), [("", 0o600), ("0" * 63, 0o600), (None, 0o644), (None, 0o660)])
def test_a_key_that_is_not_whole_or_not_secret_is_replaced(
    tmp_path: Path, content: str | None, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    first, path = secret_key(tmp_path), tmp_path / "secret-key"
    if content is not None:
        path.write_text(content)
    path.chmod(mode)
    second = secret_key(tmp_path)
    assert second not in (first, content)
    assert len(second) == 64
    assert path.stat().st_mode & 0o777 == 0o600
    assert "signs everybody out" in caplog.text
    assert first not in caplog.text
    assert secret_key(tmp_path) == second

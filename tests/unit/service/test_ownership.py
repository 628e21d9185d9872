"""One process for one data directory, and the secret in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from imgpool.errors import DataDirectoryInUse
from imgpool.service.ownership import DataDirectoryLock, secret_key

HOLD = """
import sys
from pathlib import Path
from imgpool.service.ownership import DataDirectoryLock
lock = DataDirectoryLock(Path(sys.argv[1]))
lock.acquire()
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_holder_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    first, second = DataDirectoryLock(tmp_path), DataDirectoryLock(tmp_path)
    first.acquire()
    with pytest.raises(DataDirectoryInUse, match=f"process {os.getpid()}") as error:
        second.acquire()
    assert str(tmp_path) in str(error.value)
    assert "--data-dir" in str(error.value)
    first.release()
    first.release()
    second.acquire()
    second.release()


def test_the_lock_goes_with_the_process_however_that_ends(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        lock = DataDirectoryLock(tmp_path)
        with pytest.raises(DataDirectoryInUse, match=f"process {holder.pid}"):
            lock.acquire()
        holder.kill()
        holder.wait(20)
    lock.acquire()
    lock.release()


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

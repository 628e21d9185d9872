"""One process for one data directory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from imgpool.errors import DataDirectoryInUse
from imgpool.service.ownership import DataDirectoryLock

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

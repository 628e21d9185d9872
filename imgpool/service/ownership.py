"""One server for one data directory, and the secret that this directory keeps.

The lock is the kernel's: it goes with the process, however that ends.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from pathlib import Path
from typing import TextIO

from imgpool.errors import DataDirectoryInUse

WAIT_S = 3.0


class DataDirectoryLock:
    """Holds the data directory for this process from `acquire` to `release`."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._file: TextIO | None = None

    def acquire(self) -> None:
        """Take the lock. Blocks for `WAIT_S` at most: a server that was killed lets go of it a moment later.

        Raises `DataDirectoryInUse` that names the holder's process, or OSError.
        """
        file = (self._data_dir / "lock").open("a+")
        limit = time.monotonic() + WAIT_S
        while not (taken := _taken(file)) and time.monotonic() < limit:
            time.sleep(0.05)  # flock has no timeout of its own
        if not taken:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            file.close()
            raise DataDirectoryInUse(
                f"another imgpool (process {holder}) uses the data directory '{self._data_dir}': "
                "stop it first, or give another --data-dir"
            )
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        self._file = file

    def release(self) -> None:
        """Idempotent."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _taken(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def secret_key(data_dir: Path) -> str:
    """The key that signs cookies: made once, kept 0600 in the data directory, never logged. Raises OSError."""
    data_dir.mkdir(parents=True, exist_ok=True)
    path = data_dir / "secret-key"
    if not path.exists():
        # Written aside and renamed: a crash in between must not leave an empty key, which would sign anything.
        aside = path.with_name(f"{path.name}.{os.getpid()}")
        aside.unlink(missing_ok=True)
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
        aside.replace(path)
    return path.read_text()

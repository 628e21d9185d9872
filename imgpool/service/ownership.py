"""One server for one data directory, and the secret that this directory keeps.

The lock is the kernel's: it goes with the process, however that ends.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from imgpool.errors import DataDirectoryInUse


class DataDirectoryLock:
    """Holds the data directory for this process from `acquire` to `release`."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._file: TextIO | None = None

    def acquire(self) -> None:
        """Never blocks; raises `DataDirectoryInUse` that names the holder's process, or OSError."""
        file = (self._data_dir / "lock").open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            file.close()
            raise DataDirectoryInUse(
                f"another imgpool (process {holder}) uses the data directory '{self._data_dir}': "
                "stop it first, or give another --data-dir"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        self._file = file

    def release(self) -> None:
        """Idempotent."""
        if self._file is not None:
            self._file.close()
            self._file = None


def secret_key(data_dir: Path) -> str:
    """The key that signs cookies: made once, kept 0600 in the data directory, never logged. Raises OSError."""
    data_dir.mkdir(parents=True, exist_ok=True)
    path = data_dir / "secret-key"
    with suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
    return path.read_text()

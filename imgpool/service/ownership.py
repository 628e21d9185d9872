"""One server for one data directory.

The lock is the kernel's: it goes with the process, however that ends.
"""

from __future__ import annotations

import fcntl
import os
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

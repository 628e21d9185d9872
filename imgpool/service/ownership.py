"""One server for one data directory, and the secret that this directory keeps.

The lock is the kernel's: it goes with the process, however that ends.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from imgpool.errors import DataDirectoryInUse

log = logging.getLogger(__name__)

WAIT_S = 3.0
KEY_DIGITS = 64


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


def shared_secret_key(token: str, files: str) -> str:
    """The key that signs cookies for all hosts that have this token and these files: the same on each, without a place
    to keep it. Slow on purpose, takes some 50 ms: who has a cookie shall not find out the token by trying.
    """
    salt = f"imgpool {files}".encode()
    return hashlib.scrypt(token.encode(), salt=salt, n=2**14, r=8, p=1, dklen=KEY_DIGITS // 2).hex()


def secret_key(data_dir: Path) -> str:
    """The key that signs cookies: made once, kept 0600 in the data directory, never logged. Raises OSError.

    One that is not whole, or that others could read, is replaced: whatever it signed is worth nothing then.
    """
    data_dir.mkdir(0o700, parents=True, exist_ok=True)
    path = data_dir / "secret-key"
    if path.exists() and (len(path.read_text("latin-1")) != KEY_DIGITS or path.stat().st_mode & 0o077):
        log.warning("'%s' is not whole, or others could read it: a new one signs everybody out", path)
        path.unlink()
    if not path.exists():
        # Written aside and linked: a crash leaves no half a key, and of two servers that start at once one key wins.
        aside = path.with_name(f"{path.name}.{os.getpid()}")
        aside.unlink(missing_ok=True)
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(KEY_DIGITS // 2))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            path.hardlink_to(aside)
        aside.unlink()
    return path.read_text()

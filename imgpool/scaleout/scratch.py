"""A local directory of one process's own, for bytes on their way to or from a store elsewhere.

Owns `ROOT/PID-TOKEN` while it is open. What lies there is a copy or half made: nothing of it is ever needed again after
the process, so whoever opens a scratch next removes those of processes that are gone, whatever they died of.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Scratch:
    """Blocks on the local disk. Any thread may call any method; `close` after the last file. Not to be taken across a
    fork: the child opens its own.
    """

    def __init__(self, root: Path) -> None:
        root = root.absolute()
        root.mkdir(0o700, parents=True, exist_ok=True)
        # Whoever comes at the same time waits: else it might find this directory between its making and its lock.
        with _locked(root / "lock", fcntl.LOCK_EX):
            for each in root.iterdir():
                if each.is_dir():
                    _remove_if_left(each)
            self.path = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=root))
            self._lock: int | None = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    def file(self, name: str) -> Path:
        """A path for a new file, that no other call gets."""
        return self.path / f"{name}.{secrets.token_hex(8)}"

    def directory(self, name: str) -> Path:
        """A new empty directory."""
        path = self.file(name)
        path.mkdir()
        return path

    def free_bytes(self) -> int:
        """Room that is left."""
        return shutil.disk_usage(self.path).free

    def close(self) -> None:
        """Remove it; idempotent."""
        if self._lock is not None:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._lock)
            self._lock = None


def _remove_if_left(directory: Path) -> None:
    try:
        with _locked(directory / "lock", fcntl.LOCK_EX | fcntl.LOCK_NB):  # the kernel lets go of a dead process's lock
            shutil.rmtree(directory, ignore_errors=True)
    except BlockingIOError:
        return  # its process lives
    except FileNotFoundError:
        return  # and has just ended, and taken it away itself


@contextmanager
def _locked(path: Path, how: int) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)

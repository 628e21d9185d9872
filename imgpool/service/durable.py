"""What has to survive a power cut beside the files themselves: a small text made once, the names in a directory."""

from __future__ import annotations

import errno
import os
import secrets
from contextlib import suppress
from pathlib import Path

# FAT; SMB, under two numbers on a Mac; a bucket that is mounted by FUSE; too many links to one file.
NO_HARD_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)


def made_once(path: Path, text: str, mode: int = 0o600) -> str:
    """What the file `path` holds: `text`, unless it was there already. Of many that begin at the same moment, on
    several hosts too, one is the first and all get its text. Whole after a power cut. Nobody else's to read, unless
    `mode`, less the umask, says so.

    Blocks for the disk. Raises OSError.
    """
    if not path.exists():
        aside = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        try:
            with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            try:
                with suppress(FileExistsError):  # somebody was faster: theirs counts
                    path.hardlink_to(aside)
            except OSError as error:
                if error.errno not in NO_HARD_LINKS:
                    raise
                aside.replace(path)  # such a file system is one machine's own, with one server on it
            sync_directory(path.parent)
        finally:
            aside.unlink(missing_ok=True)
    return path.read_text()


def sync_directory(path: Path) -> None:
    """A rename survives a power cut only when the directory itself is synced. Blocks for the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

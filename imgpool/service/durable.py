"""What has to survive a power cut beside the files themselves: a small text made once, the names in a directory."""

from __future__ import annotations

import errno
import os
import tempfile
from contextlib import suppress
from pathlib import Path

NO_HARD_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK)


def made_once(path: Path, text: str) -> str:
    """What the file `path` holds: `text`, unless it was there already. Of many that begin at the same moment, on
    several hosts too, one is the first and all get its text. Whole after a power cut, and nobody else's to read (0600).

    Blocks for the disk. Raises OSError.
    """
    if not path.exists():
        descriptor, name = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
        aside = Path(name)
        try:
            with os.fdopen(descriptor, "w") as file:
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

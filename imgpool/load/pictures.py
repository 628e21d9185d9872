"""What is uploaded: files read once, before the first second of the test, and sent as they are."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import imgpool
from imgpool.load.target import LoadError

SAMPLES = Path(imgpool.__file__).parent.parent / "sample_images"
MOST_BYTES = 1024**3
ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".avif", ".tif", ".tiff", ".bmp", ".heic", ".heif"}


@dataclass(frozen=True)
class Picture:
    """One file to send. `query` carries its name in the address, quoted."""

    name: str
    body: bytes

    @property
    def query(self) -> str:
        """The name as a part of an address."""
        return f"name={quote(self.name)}"


def read_pictures(paths: list[Path]) -> list[Picture]:
    """The files, and those below the folders that end like an image; the sample images when nothing is named.

    A named file is sent whatever it is: what a server refuses is part of the test. Raises `LoadError`.
    """
    if not paths and not SAMPLES.is_dir():
        raise LoadError("this installation has no sample images: name your own with --images FILE or DIR")
    files: list[Path] = []
    for path in paths or [SAMPLES]:
        if path.is_dir():
            below = path.rglob("*") if paths else path.glob("*")  # of the samples, not the hostile ones
            files += sorted(each for each in below if each.suffix.lower() in ENDINGS and each.is_file())
        else:
            files.append(path)
    if not files:
        raise LoadError(f"--images: no image in {', '.join(map(str, paths))}")
    try:
        total = sum(each.stat().st_size for each in files)
        if total > MOST_BYTES:
            raise LoadError(f"--images: {total >> 20} MiB in all; at most {MOST_BYTES >> 20} MiB are kept in memory")
        return [Picture(each.name, each.read_bytes()) for each in files]
    except OSError as error:
        raise LoadError(f"--images: {str(error.filename)!r} cannot be read: {error.strerror}") from None


def in_turn(pictures: list[Picture]) -> Iterator[Picture]:
    """One after the other, without end."""
    return itertools.cycle(pictures)

"""Which formats are accepted, told by their bytes, and how large a header says an image is.

Pure Python, used in the web process on untrusted bytes: nothing here decodes a pixel, reads a whole file or loads a
C decoder. Every read is bounded in time and memory, whatever the file holds. Never looks at a file's name.
"""

from __future__ import annotations

import importlib.util
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import imagesize

from imgpool.errors import ImageTooLarge
from imgpool.imaging.model import Limits

#: As many first bytes as `sniff` wants: an ISO file's list of brands rarely goes beyond 64.
SNIFF_BYTES = 256

# What `imagesize` may cost on one file. A photo's header takes tens of reads of a few bytes. Unbounded, a JPEG of 20 MB
# without a marker costs 20 million reads of one byte, and an ISO box is read whole, however large.
_MAX_READS = 20_000
_MAX_READ_BYTES = 128 * 1024


@dataclass(frozen=True)
class Format:
    """An accepted format. `pillow` is the name of Pillow's plugin, the only one that may open such a file."""

    name: str
    mime: str
    extension: str
    pillow: str

    @property
    def label(self) -> str:
        """How people write it."""
        return {"webp": "WebP", "heif": "HEIC/HEIF"}.get(self.name, self.name.upper())


JPEG = Format("jpeg", "image/jpeg", "jpg", "JPEG")
PNG = Format("png", "image/png", "png", "PNG")
WEBP = Format("webp", "image/webp", "webp", "WEBP")
GIF = Format("gif", "image/gif", "gif", "GIF")
AVIF = Format("avif", "image/avif", "avif", "AVIF")
TIFF = Format("tiff", "image/tiff", "tif", "TIFF")
BMP = Format("bmp", "image/bmp", "bmp", "BMP")
HEIF = Format("heif", "image/heif", "heic", "HEIF")

#: HEIC/HEIF only with the extra `imgpool[heif]`; looked for, not imported: it is a C decoder.
HEIF_AVAILABLE = importlib.util.find_spec("pillow_heif") is not None
INPUT_FORMATS: tuple[Format, ...] = (JPEG, PNG, WEBP, GIF, AVIF, TIFF, BMP) + ((HEIF,) if HEIF_AVAILABLE else ())

_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_BMP_HEADER_SIZES = {12, 16, 40, 52, 56, 64, 108, 124}
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


def sniff(head: bytes) -> Format | None:
    """Return the accepted format that a file beginning with `head` is of, or None.

    `head` is the file's first `SNIFF_BYTES` bytes (fewer when it is shorter). Never raises, whatever they are.
    """
    if head.startswith(b"\xff\xd8\xff"):
        return JPEG
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return PNG
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return GIF
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP" and head[12:16] in (b"VP8 ", b"VP8L", b"VP8X"):
        return WEBP
    if head[:4] in _TIFF_MAGIC:
        # Canon's raw files say TIFF too; what a TIFF reader finds first in them is not the photo.
        return None if head[8:10] == b"CR" else TIFF
    # "BM" alone is the beginning of many a text.
    if head[:2] == b"BM" and len(head) >= 18 and int.from_bytes(head[14:18], "little") in _BMP_HEADER_SIZES:
        return BMP
    if head[4:8] == b"ftyp":
        return _iso_format(head)
    return None


def _iso_format(head: bytes) -> Format | None:
    """Tell AVIF from HEIC, and both from a film, by the brands of the `ftyp` box."""
    box = head[: int.from_bytes(head[:4], "big")]
    brands = {box[8:12], *(box[at : at + 4] for at in range(16, len(box) - 3, 4))}
    if box[8:12] not in _AVIF_BRANDS | _HEIF_BRANDS:
        return None  # the major brand decides; an .mp4 may list "mif1" among those it is compatible with
    if brands & _AVIF_BRANDS:
        return AVIF
    return HEIF if HEIF_AVAILABLE else None


def header_size(path: Path) -> tuple[int, int] | None:
    """Return (width, height) as the header gives them, before orientation; None when they cannot be told.

    Reads at most 128 KiB in at most 20,000 small reads. A None is not a refusal: the decoder's own check decides.
    """
    try:
        with path.open("rb") as file:
            size = _fixed_header_size(file.read(SNIFF_BYTES))
            if size is None:
                # Without the rotation: sides are checked the same either way, and reading it from an ISO file makes
                # imagesize expand a table of extents that a hostile file can announce to be of any length.
                size = imagesize.get(_Bounded(file), exif_rotation=False)
            width, height = size
    except Exception:  # imagesize states no exceptions of its own; whatever it meets means "unknown"
        return None
    if isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0:
        return width, height
    return None


def _fixed_header_size(head: bytes) -> tuple[int, int] | None:
    """Read the sides that stand at a fixed place and that imagesize 2.0 reads wrongly."""
    found = sniff(head)
    if found is GIF and len(head) >= 10:
        width, height = struct.unpack("<HH", head[6:10])  # unsigned; imagesize: signed
        return width, height
    if found is BMP and head[14] == 12 and len(head) >= 22:
        width, height = struct.unpack("<HH", head[18:22])  # OS/2: 16 bits a side; imagesize: 32
        return width, height
    if found is WEBP and head[12:16] == b"VP8 " and len(head) >= 30:
        width, height = struct.unpack("<HH", head[26:30])  # the upper two bits are a scale, not size
        return width & 0x3FFF, height & 0x3FFF
    return None


class _Bounded:
    """A file that ends the reading, with an error, when it goes on for longer than any honest header."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._reads = _MAX_READS
        self._bytes = _MAX_READ_BYTES

    def read(self, size: int = -1) -> bytes:
        self._reads -= 1
        self._bytes -= max(size, 0)
        if size < 0 or self._reads < 0 or self._bytes < 0:
            raise ValueError("the header is too long")
        return self._file.read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)


def check_size(size: tuple[int, int], limits: Limits) -> None:
    """Raise `ImageTooLarge`, with the numbers, when an image of this size is over a limit."""
    width, height = size
    if max(width, height) > limits.max_side:
        raise ImageTooLarge(
            f"This image is {width} x {height} pixels; at most {limits.max_side} a side are accepted. "
            "Scale it down and upload it again."
        )
    if width * height > limits.max_pixels:
        raise ImageTooLarge(
            f"This image has {_pixels(width * height, limits.max_pixels)} pixels ({width} x {height}); at most "
            f"{_pixels(limits.max_pixels, 0)} are accepted. Scale it down and upload it again."
        )


def _pixels(count: int, above: int) -> str:
    """Say a number of pixels as people do, never so rounded that it looks like being within the limit `above`."""
    rounded = round(count / 1e6)
    if count < 10_000_000 or rounded * 1_000_000 <= above:
        return f"{count:,}"
    return f"{rounded:,} million"


def check_header(path: Path, limits: Limits) -> tuple[int, int] | None:
    """Return what `header_size` returns; raise `ImageTooLarge` when that is over a limit."""
    size = header_size(path)
    if size is not None:
        check_size(size, limits)
    return size

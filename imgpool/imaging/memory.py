"""How much memory it takes to process an image, estimated from its header before anything is decoded.

Pure Python, used in the web process on untrusted bytes, with the same care as `formats`: every read is bounded. It
estimates from above; what enforces a limit is the child's own (`child.py`).

The numbers are the peak resident memory of a decoder child, measured with files of 49 and 100 megapixels (Pillow 13,
Linux; `tests/system/test_memory_budget.py` measures again), in bytes for each pixel:

    PNG, GIF, BMP: opaque 4, palette 5, with alpha 8, with a transparent colour 12, grey of 16 bits 10 to 14
    TIFF: 4 to 10, and once more what is in one strip; WebP: 15 to 17 (two canvases, and a copy of each)
    AVIF: 8 to 12; HEIC: 7 to 9; JPEG: 4 for each pixel that is decoded, and see below

and on top what `_shrinking` says. A JPEG is decoded at 1/2, 1/4 or 1/8 when that is enough; but a progressive one, or
one in several scans, keeps 2 bytes for each coefficient of the *whole* picture: 100 megapixels need 50 MB, or 600.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from imgpool.imaging.formats import (
    AVIF,
    BMP,
    GIF,
    HEIF,
    JPEG,
    PNG,
    SNIFF_BYTES,
    TIFF,
    WEBP,
    Format,
    header_size,
    sniff,
)
from imgpool.imaging.recipe import Recipe, target_size, uncropped_size

MIB = 1024**2
#: What a child is before its first image, and what of earlier ones it may not have given back yet.
CHILD_BYTES = 40 * MIB

_BYTES_PER_PIXEL = {GIF: 9, BMP: 9, TIFF: 14, WEBP: 17, AVIF: 14, HEIF: 12}
_READ_WHOLE = (WEBP, AVIF, HEIF)
_OPAQUE, _PALETTE, _ALPHA, _TRANSPARENT_COLOUR, _DEEP_GREY = 4, 5, 9, 12, 14
_ENCODER_BYTES_PER_PIXEL = {"jpeg": 8, "png": 8, "webp": 14, "auto": 14, "avif": 34}
_MOST_SEGMENTS = 2_000  # of a JPEG or a PNG before its picture; photos have tens


def memory_needed(path: Path, recipe: Recipe) -> int | None:
    """Return an upper estimate, in bytes, of a child's memory while it processes this file; None: it cannot be told.

    Blocks on a few reads of the header. Never raises, whatever the file holds.
    """
    size = header_size(path)
    if size is None:
        return None
    try:
        with path.open("rb") as file:
            found = sniff(file.read(SNIFF_BYTES))
            if found is None:
                return None
            decoding = _decoding(file, found, size, recipe)
            file_bytes = path.stat().st_size if found in _READ_WHOLE else 0
    except (OSError, ValueError, IndexError):
        return None
    encoding = max(
        _pixels(target_size(variant, shape)) * _ENCODER_BYTES_PER_PIXEL[variant.format]
        for variant in recipe.variants
        for shape in _either_way(size)
    )
    return CHILD_BYTES + file_bytes + max(decoding, encoding)


def _decoding(file: BinaryIO, found: Format, size: tuple[int, int], recipe: Recipe) -> int:
    """Bytes of the decoded picture, of what its decoder keeps beside it, and of shrinking it to the largest variant."""
    upright, lying = (max(uncropped_size(variant, shape) for variant in recipe.variants) for shape in _either_way(size))
    largest = max(upright, (lying[1], lying[0]), key=_pixels)
    kept = 0
    if found is JPEG:
        scans = _jpeg_scans(file)
        kept = int(scans.coefficients_per_pixel * 2 * _pixels(size)) if scans.buffered else 0
        size = max(_drafted(size, upright), _drafted(size, (lying[1], lying[0])), key=_pixels)
        per_pixel = 2 * _OPAQUE if scans.components == 4 else _OPAQUE  # CMYK is copied once
    elif found is PNG:
        per_pixel = _png_bytes_per_pixel(file)
    else:
        per_pixel = _BYTES_PER_PIXEL[found]
    return kept + per_pixel * _pixels(size) + _shrinking(size, largest)


def _shrinking(size: tuple[int, int], target: tuple[int, int]) -> int:
    """Bytes of the copies on the way to the target: averaged blocks when it is far, then rows shrunk, then columns."""
    blocks = min(size[0] // (3 * target[0]), size[1] // (3 * target[1]))
    averaged = 4 * _pixels(size) // blocks**2 if blocks > 1 else 0
    return averaged + 4 * target[0] * size[1] + 8 * _pixels(target)


def _either_way(size: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Upright and lying: the orientation is not known here."""
    return size, (size[1], size[0])


def _pixels(size: tuple[int, int]) -> int:
    return size[0] * size[1]


def _drafted(size: tuple[int, int], enough: tuple[int, int]) -> tuple[int, int]:
    """The sides at which a JPEG is decoded when `enough` would do: whole, or 1/2, 1/4 or 1/8 of it."""
    scale = max(1, min(size[0] // enough[0], size[1] // enough[1]))
    for step in (8, 4, 2):
        if scale >= step:
            return -(-size[0] // step), -(-size[1] // step)
    return size


@dataclass(frozen=True)
class _Scans:
    """How a JPEG stores its picture. `buffered`: the decoder has to keep all coefficients until the last scan."""

    components: int = 4
    coefficients_per_pixel: float = 4.0
    buffered: bool = True


def _jpeg_scans(file: BinaryIO) -> _Scans:
    """Read the frame and the first scan header; the worst when they are not found."""
    file.seek(2)
    scans = _Scans()
    for _ in range(_MOST_SEGMENTS):
        head = file.read(2)
        if head == b"\xff\xff":  # a fill byte; each counts, or millions of them would hold up the web process
            file.seek(-1, 1)
            continue
        if len(head) < 2 or head[0] != 0xFF:
            break
        marker = head[1]
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:
            continue
        length = int.from_bytes(file.read(2), "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            frame = file.read(min(length - 2, 6 + 3 * 4))
            samplings = [frame[at] for at in range(7, len(frame), 3)]
            sides = [(sampling >> 4 or 1, sampling & 15 or 1) for sampling in samplings]
            most = max(side[0] for side in sides) * max(side[1] for side in sides)
            coefficients = sum(side[0] * side[1] / most for side in sides)
            scans = _Scans(len(sides), coefficients, marker & 3 == 2)
            file.seek(length - 2 - len(frame), 1)
        elif marker == 0xDA:
            in_first_scan = file.read(1)[0]
            interleaved = in_first_scan == scans.components
            return _Scans(scans.components, scans.coefficients_per_pixel, scans.buffered or not interleaved)
        else:
            file.seek(length - 2, 1)
    return _Scans()


def _png_bytes_per_pixel(file: BinaryIO) -> int:
    file.seek(24)
    depth, colour = file.read(2)
    if depth == 16 and colour == 0:
        return _DEEP_GREY
    if colour in (4, 6):
        return _ALPHA
    if _has_transparent_colour(file):
        return _ALPHA if colour == 3 else _TRANSPARENT_COLOUR
    return _PALETTE if colour == 3 else _OPAQUE


def _has_transparent_colour(file: BinaryIO) -> bool:
    """Whether a PNG has a tRNS chunk, which comes before its picture; also when there is no end to looking."""
    at = 8
    for _ in range(_MOST_SEGMENTS):
        file.seek(at)
        head = file.read(8)
        if head[4:] == b"tRNS":
            return True
        if len(head) < 8 or head[4:] == b"IDAT":
            return False
        at += 12 + int.from_bytes(head[:4], "big")
    return True

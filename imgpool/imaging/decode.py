"""From a file to one decoded picture, as small as is enough, in an 8-bit mode. Imports PIL.

Owns how Pillow is set up, what may open a file, which limits are checked before a pixel is decoded, and the sentence
that a person reads when decoding fails. Never resizes, converts colours or writes.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import mmap
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from PIL import AvifImagePlugin, Image, ImageFile, PngImagePlugin

from imgpool.errors import DecodeFailed, ImagingError, OutOfMemory, UnsupportedFormat
from imgpool.imaging.formats import (
    AVIF,
    BMP,
    GIF,
    HEIF,
    HEIF_AVAILABLE,
    INPUT_FORMATS,
    JPEG,
    PNG,
    SNIFF_BYTES,
    TIFF,
    WEBP,
    Format,
    check_header,
    check_size,
    header_size,
    sniff,
)
from imgpool.imaging.model import Limits
from imgpool.imaging.modes import eight_bit, grey_scale, without_idle_alpha
from imgpool.imaging.structure import check_structure, too_many_frames

_ORIENTATION = 0x0112
#: What one packed text or colour profile of a PNG may unfold to; profiles of two megabytes exist.
MOST_TEXT_BYTES = 4 * 1024 * 1024

# Imported here, not when the first image comes: a child limits its memory after that. Mpo is two pictures in one JPEG.
for _plugin in ("Bmp", "Gif", "Jpeg", "Mpo", "Png", "Tiff", "WebP"):
    importlib.import_module(f"PIL.{_plugin}ImagePlugin")


def register() -> None:
    """Set Pillow up: the accepted formats and no more, one thread for each decoder, limits of our own. Idempotent.

    Pillow's settings hold for the whole process, and nothing else in this process uses Pillow.
    """
    Image.MAX_IMAGE_PIXELS = None  # it would warn, then raise, at numbers of its own; `_check` comes first
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    PngImagePlugin.MAX_TEXT_CHUNK = MOST_TEXT_BYTES
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # the pool is the parallelism
    logging.getLogger("PIL").setLevel(logging.CRITICAL)  # it logs what is odd in a file; the file's error says it
    if HEIF_AVAILABLE:
        with contextlib.suppress(ImportError):
            import pillow_heif

            pillow_heif.register_heif_opener(decode_threads=1, aux_images=False, depth_images=False)
    warnings.filterwarnings("ignore", module=r"PIL\.")  # the same for what it warns of


@dataclass
class Decoded:
    """A decoded picture: L, LA, RGB, RGBA, CMYK or LAB, not yet turned or in sRGB; alpha only where it shows.

    `width` and `height` are the original's, as a person sees it. `orientation` (1 to 8) is still to be applied.
    """

    picture: Image.Image
    profile: bytes | None
    orientation: int
    format: Format
    width: int
    height: int


#: Given the original's sides as a person sees it, returns the sides that are enough to decode.
Needed = Callable[[tuple[int, int]], tuple[int, int]]


def decode(original: Path, limits: Limits, needed: Needed, check: Callable[[], None]) -> Decoded:
    """Decode the first frame, reduced while decoding where the format can. Blocks; raises `ImagingError` only
    (and what `check` raises, which is called before and after decoding)."""
    found: Format | None = None
    stopped: list[Exception] = []

    def checked() -> None:
        try:
            check()
        except Exception as error:
            stopped.append(error)  # whoever asked to stop knows what it means; it says nothing about the file
            raise

    try:
        with original.open("rb") as file:
            found = sniff(file.read(SNIFF_BYTES))
            if found is None:
                names = ", ".join(accepted.label for accepted in INPUT_FORMATS)
                raise UnsupportedFormat(f"The file is not an image in an accepted format. Accepted are {names}.")
            check_header(original, limits)  # before Pillow: its WebP plugin allocates the canvas when it opens
            check_structure(file, found, limits)
            checked()
            file.seek(0)
            with Image.open(file, formats=[found.pillow]) as image:
                check_size(image.size, limits)
                if found not in (GIF, TIFF) and getattr(image, "n_frames", 1) > limits.max_frames:
                    raise too_many_frames(limits)
                return _decode(image, found, needed, checked)
    except ImagingError:
        raise
    except FileNotFoundError as error:
        raise ImagingError("The original is no longer there. Upload it again.") from error
    except MemoryError as error:
        raise out_of_memory() from error
    except Exception as error:  # Pillow and its plugins raise all kinds on damaged files
        if error in stopped:
            raise
        if _memory_was_short(original, error):
            raise out_of_memory() from error
        raise _decode_failed(original, found, error) from error


def _decode(image: ImageFile.ImageFile, found: Format, needed: Needed, check: Callable[[], None]) -> Decoded:
    orientation = _orientation(image) if found is JPEG else 1
    size = _turned(image.size, orientation)
    if found is JPEG:
        # Both sides of the target in the file's own direction: a square box would miss the best reduction.
        image.draft(None, _turned(needed(size), orientation))
    greys = grey_scale(image)  # before load: Pillow forgets a TIFF's tags
    image.load()
    check()
    if found is not JPEG:
        # Only now is a PNG's EXIF known when it comes after the pixels. Pillow has turned a TIFF by itself,
        # pillow-heif a HEIC; both then say 1.
        orientation = 1 if found is TIFF else _orientation(image)
        size = _turned(image.size, orientation)
    profile = image.info.get("icc_profile")
    picture = eight_bit(image, greys)
    return Decoded(
        without_idle_alpha(picture),
        profile if isinstance(profile, bytes) and profile else None,
        orientation,
        found,
        *size,
    )


def _turned(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Swap the sides when the orientation lies the picture on its side; its own inverse."""
    return (size[1], size[0]) if orientation >= 5 else size


def _orientation(image: Image.Image) -> int:
    """Return the EXIF (or XMP) orientation, 1 when there is none that makes sense."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # broken EXIF is common and no reason to refuse a picture
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def out_of_memory() -> OutOfMemory:
    """Return the error for an image that needs more memory than it may have."""
    return OutOfMemory("This image needs more memory than one image may use. Scale it down and upload it again.")


def _memory_was_short(original: Path, error: Exception) -> bool:
    """Tell whether a decoder failed for lack of memory: most of them only say that they failed."""
    if "memory" in str(error).lower():
        return True
    size = header_size(original)
    if size is None:
        return False
    try:
        # What a decoder with two canvases of its own needs. Reserves addresses, which is what the limit counts.
        mmap.mmap(-1, 12 * size[0] * size[1]).close()
    except (OSError, OverflowError):
        return True
    return False


def _decode_failed(original: Path, found: Format | None, error: Exception) -> ImagingError:
    """Say what is wrong with the file in a sentence for the person who uploaded it."""
    name = found.label if found else "image"
    if found is HEIF and found.pillow not in Image.OPEN:
        return UnsupportedFormat("This server cannot read HEIC images. Upload the picture as JPEG.")
    if isinstance(error, EOFError) or "truncated" in str(error) or (found and _ends_early(original, found)):
        return DecodeFailed(
            "The file is cut short: it ends in the middle of the picture. Upload it again from the source."
        )
    return DecodeFailed(
        f"The file begins as {name} but its picture cannot be read: it is damaged or of an unusual kind. "
        "Open it in an image editor, save it as JPEG or PNG and upload that."
    )


def _ends_early(original: Path, found: Format) -> bool:
    """Guess whether the file lacks its end. Only chooses between two sentences."""
    try:
        with original.open("rb") as file:
            head = file.read(12)
            length = file.seek(0, os.SEEK_END)
            file.seek(max(0, length - 4096))
            tail = file.read()
            if found is JPEG:
                return b"\xff\xd9" not in tail
            if found is PNG:
                return b"IEND" not in tail
            if found is GIF:
                return not tail.rstrip(b"\0").endswith(b";")
            if found is WEBP:
                return int.from_bytes(head[4:8], "little") + 8 > length
            if found is BMP:
                return int.from_bytes(head[2:6], "little") > length
            return found in (AVIF, HEIF) and any(end > length for end in _box_ends(file, length))
    except OSError:
        return False


def _box_ends(file: BinaryIO, length: int) -> Iterator[int]:
    """Yield where each of an ISO file's first boxes says it ends."""
    at = 0
    for _ in range(64):
        file.seek(at)
        head = file.read(16)
        size = int.from_bytes(head[:4], "big")
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        if at >= length or size < 8:
            return
        at += size
        yield at

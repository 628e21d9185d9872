"""From a finished picture to a file, written aside and renamed. Imports PIL.

Owns the encoders' settings and that a variant is on disk whole or not at all. Lets no metadata through.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import Image

from imgpool.imaging.formats import AVIF, JPEG, WEBP, Format
from imgpool.imaging.model import MadeVariant
from imgpool.imaging.outputs import OUTPUT_FORMATS, part_name
from imgpool.imaging.recipe import Variant


def output_format(variant: Variant, transparent: bool) -> Format:
    """Return the format in which the variant of such a picture is written."""
    if variant.format == "auto":
        return WEBP if transparent else JPEG
    return OUTPUT_FORMATS[variant.format]


def write_variant(picture: Image.Image, variant: Variant, into: Path, sync: bool) -> MadeVariant:
    """Encode an RGB or RGBA picture into `into`; with `sync` it is on its way to the disk, where `sync_variants` waits
    for it. Raises OSError when the disk does not take it.
    """
    chosen = output_format(variant, picture.mode == "RGBA")
    if chosen is JPEG and picture.mode == "RGBA":
        picture = _on_white(picture)
    # A picture without `info`: Pillow would otherwise write the comment, the profile and the XMP it finds there.
    picture = picture.copy() if picture.info else picture
    picture.info = {}
    filename = f"{variant.name}.{chosen.extension}"
    aside = into / part_name(filename)
    # A real file, not memory: Pillow then releases the GIL while it encodes.
    with aside.open("wb") as file:
        picture.save(file, format=chosen.pillow, **encoder_options(chosen, variant.quality))
        if sync:
            file.flush()
            _begin_to_sync(file.fileno())
        size = file.tell() if chosen is not JPEG else os.fstat(file.fileno()).st_size
    aside.replace(into / filename)
    return MadeVariant(variant.name, filename, picture.width, picture.height, size, chosen.name)


def sync_variants(into: Path, filenames: Iterable[str]) -> None:
    """Make the files, and their names in `into`, last through a loss of power. Blocks on the disk."""
    for path in (*(into / filename for filename in filenames), into):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _begin_to_sync(descriptor: int) -> None:
    """Have the disk write while the next variant is made: syncing each by itself cost a worker twice the wait."""
    with suppress(AttributeError, OSError):  # a wish only: not every system has it, nor every file system
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)  # what is not on the disk is begun to be written


def _on_white(picture: Image.Image) -> Image.Image:
    """Return an RGBA picture laid on white paper: a JPEG was asked for, which has no alpha."""
    paper = Image.new("RGB", picture.size, "white")
    paper.paste(picture, mask=picture.getchannel("A"))
    return paper


def encoder_options(chosen: Format, quality: int) -> dict[str, Any]:
    """Return the encoder's settings. Speeds for a picture of 1600 px: JPEG 5 ms, WebP method 4 160 ms, AVIF 8 344."""
    if chosen is JPEG:
        return {"quality": quality}
    if chosen is WEBP:
        return {"quality": quality, "method": 2}
    if chosen is AVIF:
        return {"quality": quality, "speed": 8, "max_threads": 1}
    return {"compress_level": 6}

"""Pictures for tests, made on the spot: real files of a real encoder, with enough detail to take some work."""

from __future__ import annotations

import functools
import io
import struct

import numpy as np
from PIL import Image


@functools.cache
def photo(
    width: int = 1200, height: int = 900, seed: int = 0, file_format: str = "JPEG", *, grain: int = 6, quality: int = 75
) -> bytes:
    """Soft blobs of colour with some grain, as photographs have. Quality is for JPEG."""
    random = np.random.default_rng(seed)
    small = Image.fromarray(random.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    soft = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), dtype=np.int16)
    noise = random.integers(-grain, grain + 1, (height, width, 1), dtype=np.int16)
    picture = Image.fromarray(np.clip(soft + noise, 0, 255).astype(np.uint8))
    with io.BytesIO() as file:
        picture.save(file, file_format, **({"quality": quality} if file_format == "JPEG" else {}))
        return file.getvalue()


@functools.cache
def bomb(side: int = 16384) -> bytes:
    """A PNG of a few kilobytes that announces 268 million pixels."""
    with io.BytesIO() as file:
        Image.new("1", (side, side)).save(file, "PNG")
        return file.getvalue()


@functools.cache
def flat(width: int, height: int, mode: str = "RGB", file_format: str = "PNG") -> bytes:
    """A picture of one colour: a small file, whatever its size."""
    with io.BytesIO() as file:
        Image.new(mode, (width, height), 7).save(file, file_format)
        return file.getvalue()


def with_camera_exif(jpeg: bytes, small: bytes, orientation: int = 1) -> bytes:
    """The JPEG as a camera writes it: with an Exif that tells which way up it is, and has a small JPEG in it."""
    first = struct.pack("<H HHIHH I", 1, 0x0112, 3, 1, orientation, 0, 26)  # one entry; the second directory's place
    second = struct.pack("<H HHII HHII I", 2, 0x0201, 4, 1, 56, 0x0202, 4, 1, len(small), 0)
    exif = b"Exif\0\0" + b"II*\0" + struct.pack("<I", 8) + first + second + small
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]

"""Pictures for tests, made on the spot: real files of a real encoder, with enough detail to take some work."""

from __future__ import annotations

import functools
import io

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

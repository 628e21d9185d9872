"""The one place where pixels are resampled: by a SIMD convolution where `cykooz-resizer` (the extra `imgpool[fast]`) is
installed and takes the mode, else by Pillow, four to seven times as slowly. Imports PIL.

Both are Lanczos-3, and differ by rounding: 0.1 of 255 on average over a photo, more only where a few pixels ring.
"""

from __future__ import annotations

import contextlib
import importlib
import mmap
from typing import Any

from PIL import Image

simd: Any = None
with contextlib.suppress(ImportError):
    simd = importlib.import_module("cykooz_resizer")

Box = tuple[float, float, float, float]

# Modes that carry alpha, with their premultiplied form.
_PREMULTIPLIED = {"RGBA": "RGBa", "LA": "La"}
_SIMD_MODES = ("L", "RGB", "RGBA", "CMYK")
# From this step on, averaging whole blocks first is quicker than the convolution alone (6.5 ms against 11 for a 12 MP
# photo to 256 pixels; at a step of 6 it is slower), and it has to be: the weights are numbers of 16 bits, and a step of
# 400 has thousands of them.
_BLOCKS_FROM = 9


def resize(image: Image.Image, size: tuple[int, int], box: Box | None = None) -> Image.Image:
    """Return `image` (or its part `box`, in pixels: left, top, right, bottom) at `size`, in the same mode.

    Takes L, LA, RGB, RGBA, CMYK and LAB. Colours are weighted by their alpha, so that what a transparent pixel hides
    does not shine through at edges. Does not change `image`; returns it itself when there is nothing to do.
    Raises MemoryError.
    """
    whole = (0.0, 0.0, float(image.width), float(image.height))
    if image.size == size and box in (None, whole):
        return image
    if simd is not None and image.mode in _SIMD_MODES:
        return _by_simd(image, size, box or whole)
    return _by_pillow(image, size, box)


def _by_pillow(image: Image.Image, size: tuple[int, int], box: Box | None) -> Image.Image:
    if premultiplied := _PREMULTIPLIED.get(image.mode):
        return _by_pillow(image.convert(premultiplied), size, box).convert(image.mode)
    # reducing_gap averages whole blocks first when the step is large: far fewer operations, no difference to be seen.
    return image.resize(size, Image.Resampling.LANCZOS, box=box, reducing_gap=3.0)


def _by_simd(image: Image.Image, size: tuple[int, int], box: Box) -> Image.Image:
    left, top, right, bottom = box
    across, down = _blocks((right - left) / size[0]), _blocks((bottom - top) / size[1])
    if across > 1 or down > 1:
        if image.mode == "RGBA":
            return _by_pillow(image, size, box)  # averages would not be weighted by alpha
        image = image.reduce((across, down))
        left, top, right, bottom = left / across, top / down, right / across, bottom / down
        right, bottom = min(right, image.width), min(bottom, image.height)
    _check_memory(image, size)
    result = Image.new(image.mode, size, None)  # not filled: every pixel is written
    options = simd.ResizeOptions(
        resize_alg=simd.ResizeAlg.convolution(simd.FilterType.lanczos3),
        crop_box=simd.CropBox(left, top, right - left, bottom - top),
    )
    # One for each call: it keeps the memory of the largest picture it has seen, and serves one thread at a time.
    simd.Resizer().resize_pil(image, result, options)
    return result


def _blocks(step: float) -> int:
    """Return the side of the blocks to average first, 1 for none; the convolution then takes a third of the step."""
    return int(step / 3) if step >= _BLOCKS_FROM else 1


def _check_memory(image: Image.Image, size: tuple[int, int]) -> None:
    """Raise MemoryError if the memory is not there that the resizer takes: its language ends the process then."""
    pixels = size[0] * image.height + (image.width * image.height if image.mode == "RGBA" else 0)
    try:
        mmap.mmap(-1, 4 * pixels).close()  # addresses only, which is what a child's limit counts
    except OSError as error:
        raise MemoryError from error

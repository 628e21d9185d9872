"""The one place where pixels are resampled, so that another resampler is a change of one function."""

from __future__ import annotations

from PIL import Image

# Modes that carry alpha, with their premultiplied form.
_PREMULTIPLIED = {"RGBA": "RGBa", "LA": "La"}


def resize(
    image: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float] | None = None
) -> Image.Image:
    """Return `image` (or its part `box`, in pixels: left, top, right, bottom) at `size`, in the same mode.

    Takes L, LA, RGB, RGBA, CMYK and LAB. Colours are weighted by their alpha, so that what a transparent pixel hides
    does not shine through at edges. Does not change `image`; returns it itself when there is nothing to do.
    """
    whole = (0.0, 0.0, float(image.width), float(image.height))
    if image.size == size and box in (None, whole):
        return image
    if premultiplied := _PREMULTIPLIED.get(image.mode):
        return resize(image.convert(premultiplied), size, box).convert(image.mode)
    # reducing_gap averages whole blocks first when the step is large: far fewer operations, no difference to be seen.
    return image.resize(size, Image.Resampling.LANCZOS, box=box, reducing_gap=3.0)

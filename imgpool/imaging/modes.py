"""From any of Pillow's modes to one that can be resized and shown: 8 bits, as a person expects it. Imports PIL.

Owns what black and white are in greys of more than 8 bits, what is transparent in a palette, and which CMYK is
inverted. Never converts colours by a profile, never resizes.
"""

from __future__ import annotations

import math

from PIL import Image

_BITS_PER_SAMPLE = 258
_PHOTOMETRIC = 262
_WHITE_IS_ZERO = 0


def grey_scale(image: Image.Image) -> tuple[float, bool]:
    """Return what white is in a picture of 16-bit greys, and whether its file says that 0 is white."""
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(_BITS_PER_SAMPLE, (16,))
    white = 4095.0 if bits == (12,) else 65535.0
    return white, tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO


def eight_bit(image: Image.Image, greys: tuple[float, bool]) -> Image.Image:
    """Return the loaded image in one of the modes L, LA, RGB, RGBA, CMYK or LAB, as a person expects to see it."""
    white, inverted = greys
    mode = image.mode
    if mode == "CMYK" and image.format == "JPEG" and "adobe" not in image.info:
        # Pillow takes every CMYK JPEG for Adobe's, where 255 is no ink. Without Adobe's marker 0 is (ITU-T T.872).
        return image.point(lambda value: 255 - value)
    if mode.startswith("I;16"):
        grey = _scaled_grey(image.convert("I"), 0.0, white, inverted)
        return _with_transparent_grey(image, grey)
    if mode in ("I", "F"):
        low, high = _range(image)
        return _scaled_grey(image, low, high, inverted)
    if "transparency" in image.info:
        return image.convert("RGBA")
    if mode == "P":
        return image.convert("RGBA" if image.palette and image.palette.mode.endswith("A") else "RGB")
    plain = {"1": "L", "La": "LA", "PA": "RGBA", "RGBa": "RGBA", "RGBX": "RGB", "YCbCr": "RGB", "HSV": "RGB"}
    target = plain.get(mode, mode)
    if target not in ("L", "LA", "RGB", "RGBA", "CMYK", "LAB"):
        target = "RGB"
    return image.convert(target) if target != mode else image


def _range(image: Image.Image) -> tuple[float, float]:
    """Return what black and white are in 32-bit greys, for which no format says it.

    Floats from 0 to 1 and 16-bit numbers are taken at their word; anything else is spread from its least to
    its greatest value, as image viewers do, so that something can be seen.
    """
    low, high = (float(value) for value in image.getextrema()[:2])  # type: ignore[arg-type]
    if not (math.isfinite(low) and math.isfinite(high)):
        return 0.0, 1.0
    if low >= 0:
        if image.mode == "F" and high <= 1:
            return 0.0, 1.0
        if image.mode == "I" and 255 < high <= 65535:
            return 0.0, 65535.0
        if high <= 255:
            return 0.0, 255.0
    return low, high


def _scaled_grey(image: Image.Image, black: float, white: float, inverted: bool) -> Image.Image:
    """Return an I or F image as L, with `black` at 0 and `white` at 255."""
    factor = 255.0 / (white - black) if white > black else 0.0
    half = 0.5 if image.mode == "I" else 0.0  # I cuts fractions off
    if inverted:
        return image.point(lambda value: value * -factor + (white * factor + half)).convert("L")
    return image.point(lambda value: value * factor + (half - black * factor)).convert("L")


def _with_transparent_grey(image: Image.Image, grey: Image.Image) -> Image.Image:
    """Add alpha to a 16-bit grey PNG that names one of its greys as transparent."""
    key = image.info.get("transparency")
    if not isinstance(key, int):
        return grey
    # Distance from the key, clipped to 0..255 on conversion: 0 exactly where the pixel is transparent.
    wide = image.convert("I")
    above = wide.point(lambda value: value * 1.0 + float(-key)).convert("L")
    below = wide.point(lambda value: value * -1.0 + float(key)).convert("L")
    alpha = Image.composite(
        Image.new("L", grey.size, 255),
        below.point([0] + [255] * 255),
        above.point([0] + [255] * 255),
    )
    return Image.merge("LA", (grey, alpha))


def without_idle_alpha(picture: Image.Image) -> Image.Image:
    """Drop an alpha channel in which nothing is transparent: such a picture is opaque, whatever its file says."""
    if picture.mode in ("LA", "RGBA") and picture.getchannel("A").getextrema()[0] == 255:
        return picture.convert(picture.mode[:-1])
    return picture

"""From a picture's own colours to sRGB. Imports PIL.

Owns what is believed of an embedded colour profile, and keeps what it worked out for the last few. Never fails: a
profile that is broken, or is not for this kind of picture, is left aside. Never resizes.
"""

from __future__ import annotations

import functools
import io
from dataclasses import dataclass
from typing import Final

from PIL import Image, ImageCms

# Colour profile's colour space (its header's four letters) -> the mode that it is for, alpha aside.
_MODE_OF_SPACE: Final = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab ": "LAB"}
# Relative to white, with black points matched: what Photoshop does by default.
_INTENT: Final = ImageCms.Intent.RELATIVE_COLORIMETRIC
_FLAGS: Final = ImageCms.Flags.BLACKPOINTCOMPENSATION
# Photos of one camera carry the same profile, and working it out costs 2 ms.
_KEPT: Final = 8
_KEPT_UP_TO_BYTES: Final = 2**20


def to_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """Return the picture as RGB or RGBA in sRGB, without its profile.

    Takes L, LA, RGB, RGBA, CMYK and LAB. Without a usable profile, grey and RGB are taken for sRGB already,
    CMYK for ink that takes away light evenly. May be called from several threads at once.
    """
    if picture.mode == "LAB":
        profile = _lab()
    conversion = _conversion_of(profile, picture.mode.removesuffix("A")) if profile else None
    if conversion is None or conversion.changes_nothing:
        return _plain_rgb(picture)
    colours = picture if picture.mode == conversion.mode else picture.convert(conversion.mode)
    try:
        converted = conversion.transform.apply(colours)
    except (OSError, ValueError, ImageCms.PyCMSError):
        return _plain_rgb(picture)
    if picture.mode in ("LA", "RGBA"):
        converted.putalpha(picture.getchannel("A"))
    return converted


def _plain_rgb(picture: Image.Image) -> Image.Image:
    target = "RGBA" if picture.mode in ("LA", "RGBA") else "RGB"
    return picture if picture.mode == target else picture.convert(target)


@dataclass(frozen=True)
class _Conversion:
    """From one profile to sRGB, for pictures of one mode."""

    mode: str
    transform: ImageCms.ImageCmsTransform
    changes_nothing: bool


def _conversion_of(profile: bytes, mode: str) -> _Conversion | None:
    kept = len(profile) <= _KEPT_UP_TO_BYTES
    return _conversion(profile, mode) if kept else _conversion.__wrapped__(profile, mode)


@functools.lru_cache(maxsize=_KEPT)
def _conversion(profile: bytes, mode: str) -> _Conversion | None:
    """Work out what the profile does to pictures of this mode; None when it is broken or for others."""
    try:
        embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        takes = _MODE_OF_SPACE.get(embedded.profile.xcolor_space)
        # Grey values of an RGB space: each of R, G and B is that value.
        if takes is None or (mode != takes and (mode, takes) != ("L", "RGB")):
            return None
        transform = ImageCms.buildTransform(embedded, ImageCms.createProfile("sRGB"), takes, "RGB", _INTENT, _FLAGS)
        return _Conversion(takes, transform, takes == "RGB" and _changes_nothing(transform))
    except (OSError, ValueError, TypeError, AttributeError, ImageCms.PyCMSError):
        return None  # a broken profile is common; the picture is shown as if it had none


@functools.cache
def _lab() -> bytes:
    """The profile of pictures in Lab, whatever theirs says."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()


def _changes_nothing(transform: ImageCms.ImageCmsTransform) -> bool:
    """Tell whether the profile is sRGB under one of its many names, by trying it: most photos need no conversion."""
    steps = range(0, 256, 51)
    colours = bytes(value for red in steps for green in steps for blue in steps for value in (red, green, blue))
    probe = Image.frombytes("RGB", (len(colours) // 3, 1), colours)
    return all(abs(a - b) <= 1 for a, b in zip(transform.apply(probe).tobytes(), colours, strict=True))

"""From a picture's own colours to sRGB. Imports PIL.

Owns what is believed of an embedded colour profile. Never fails: a profile that is broken, or is not for this kind
of picture, is left aside. Never resizes.
"""

from __future__ import annotations

import io
from typing import Final

from PIL import Image, ImageCms

# Colour profile's colour space (its header's four letters) -> modes that it can be for.
_MODES_OF_SPACE: Final = {"RGB ": ("RGB", "RGBA"), "GRAY": ("L", "LA"), "CMYK": ("CMYK",), "Lab ": ("LAB",)}
# Relative to white, with black points matched: what Photoshop does by default.
_INTENT: Final = ImageCms.Intent.RELATIVE_COLORIMETRIC
_FLAGS: Final = ImageCms.Flags.BLACKPOINTCOMPENSATION


def to_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """Return the picture as RGB or RGBA in sRGB, without its profile.

    Takes L, LA, RGB, RGBA, CMYK and LAB. Without a usable profile, grey and RGB are taken for sRGB already,
    CMYK for ink that takes away light evenly.
    """
    if picture.mode == "LAB":
        converted = _apply(picture, ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")))
        return converted or picture.convert("RGB")
    if profile is not None:
        try:
            embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            space = embedded.profile.xcolor_space
            if picture.mode in ("L", "LA") and space == "RGB ":
                picture = _plain_rgb(picture)  # grey values of an RGB space: each of R, G and B is that value
            if picture.mode in _MODES_OF_SPACE.get(space, ()) and (converted := _apply(picture, embedded)):
                return converted
        except (OSError, ValueError, TypeError, AttributeError, ImageCms.PyCMSError):
            pass  # a broken profile is common; the picture is shown as if it had none
    return _plain_rgb(picture)


def _plain_rgb(picture: Image.Image) -> Image.Image:
    target = "RGBA" if picture.mode in ("LA", "RGBA") else "RGB"
    return picture if picture.mode == target else picture.convert(target)


def _apply(picture: Image.Image, profile: ImageCms.ImageCmsProfile) -> Image.Image | None:
    """Return the picture converted from `profile`; None when the profile cannot do it."""
    alpha = picture.getchannel("A") if picture.mode in ("LA", "RGBA") else None
    mode = picture.mode.removesuffix("A") if alpha else picture.mode
    try:
        transform = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), mode, "RGB", _INTENT, _FLAGS)
        if mode == "RGB" and _changes_nothing(transform):
            return picture
        colours = picture.convert(mode) if alpha else picture
        converted = transform.apply(colours)
    except (OSError, ValueError, ImageCms.PyCMSError):
        return None
    if alpha:
        converted.putalpha(alpha)
    return converted


def _changes_nothing(transform: ImageCms.ImageCmsTransform) -> bool:
    """Tell whether the profile is sRGB under one of its many names, by trying it: most photos need no conversion."""
    steps = range(0, 256, 51)
    colours = bytes(value for red in steps for green in steps for blue in steps for value in (red, green, blue))
    probe = Image.frombytes("RGB", (len(colours) // 3, 1), colours)
    return all(abs(a - b) <= 1 for a, b in zip(transform.apply(probe).tobytes(), colours, strict=True))

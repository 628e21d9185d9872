"""The recipe: which variants are made of every image, and how large each becomes.

Owns the one-line language in which a person writes it, and the arithmetic of sizes. Never touches an image.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, cast

Kind = Literal["fit", "cover", "width"]
OutputFormat = Literal["auto", "jpeg", "webp", "png", "avif"]

DEFAULT_RECIPE = "large=fit:1600x1600,thumb=fit:256x256"

#: Longest side of any variant: WebP can hold no longer one.
MAX_SIDE = 16_383

_QUALITY = {"auto": 82, "jpeg": 82, "webp": 82, "png": 82, "avif": 60}
_NAME = re.compile(r"[a-z0-9_-]{1,32}")
_SIDE = re.compile(r"[1-9][0-9]{0,4}")
_FORM = "NAME=KIND:SIZE[:FORMAT[:QUALITY]], for example large=fit:1600x1600 or column=width:800:webp:75"


@dataclass(frozen=True)
class Variant:
    """One file to make of every image. `height` is None for the kind `width` only.

    fit: whole picture inside width x height; cover: fills width x height, cut at the centre; width: exactly that
    wide. Never enlarged. Format auto: JPEG for an opaque picture, WebP for one with transparency.
    """

    name: str
    kind: Kind
    width: int
    height: int | None
    format: OutputFormat
    quality: int


@dataclass(frozen=True)
class Recipe:
    """The variants in the order in which they were named; at least one, each name once."""

    variants: tuple[Variant, ...]


def parse_recipe(text: str) -> Recipe:
    """Read a recipe: variants as NAME=KIND:SIZE[:FORMAT[:QUALITY]], separated by commas.

    Raises ValueError with one sentence that says what is wrong and what is allowed.
    """
    variants = tuple(_parse_variant(part.strip()) for part in text.split(","))
    names = [variant.name for variant in variants]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"the variant {name!r} is named twice; each name may stand once")
    return Recipe(variants)


def _parse_variant(part: str) -> Variant:
    name, equals, rest = part.partition("=")
    fields = rest.split(":")
    if not equals or not 2 <= len(fields) <= 4:
        raise ValueError(f"{part!r} is not a variant; write {_FORM}")
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a variant's name; use 1 to 32 of a-z, 0-9, - and _")
    kind, size = fields[0], fields[1]
    if kind not in ("fit", "cover", "width"):
        raise ValueError(f"{kind!r} in {part!r} is not a kind; use fit, cover or width")
    width, height = _parse_size(part, kind, size)
    file_format = fields[2] if len(fields) > 2 else "auto"
    if file_format not in _QUALITY:
        raise ValueError(f"{file_format!r} in {part!r} is not a format; use auto, jpeg, webp, png or avif")
    quality = _QUALITY[file_format]
    if len(fields) > 3:
        if not re.fullmatch(r"[0-9]{1,3}", fields[3]) or not 1 <= int(fields[3]) <= 100:
            raise ValueError(f"{fields[3]!r} in {part!r} is not a quality; use a whole number from 1 to 100")
        quality = int(fields[3])
    return Variant(name, cast(Kind, kind), width, height, cast(OutputFormat, file_format), quality)


def _parse_size(part: str, kind: str, size: str) -> tuple[int, int | None]:
    sides = size.split("x")
    expected = 1 if kind == "width" else 2
    if len(sides) != expected or not all(_SIDE.fullmatch(side) and int(side) <= 16_384 for side in sides):
        form = "one side, as in width:800" if kind == "width" else f"two sides, as in {kind}:1600x1600"
        raise ValueError(f"{size!r} in {part!r} is not a size; use {form}, each from 1 to 16384")
    return int(sides[0]), (int(sides[1]) if kind != "width" else None)


def target_size(variant: Variant, size: tuple[int, int]) -> tuple[int, int]:
    """Return the variant's sides for an image of `size` (after orientation): never larger than it, never zero.

    A cover of an image that is smaller than its box keeps the box's shape: a 256x256 of a 100x50 image is 50x50.
    """
    width, height = size
    if variant.kind == "cover":
        box_width, box_height = variant.width, variant.height or variant.width
        shrink = min(1.0, width / box_width, height / box_height, MAX_SIDE / max(box_width, box_height))
        return _scaled((box_width, box_height), shrink)
    box_height = variant.height or MAX_SIDE
    shrink = min(1.0, variant.width / width, box_height / height, MAX_SIDE / max(width, height))
    return _scaled(size, shrink)


def uncropped_size(variant: Variant, size: tuple[int, int]) -> tuple[int, int]:
    """Return the sides of the whole picture at the scale that the variant needs; the target for fit and width."""
    target = target_size(variant, size)
    if variant.kind != "cover":
        return target
    width, height = size
    whole = _scaled(size, min(1.0, max(target[0] / width, target[1] / height)))
    return max(whole[0], target[0]), max(whole[1], target[1])


def _scaled(size: tuple[int, int], factor: float) -> tuple[int, int]:
    """Return both sides times `factor`, rounded; at least one pixel each."""
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))

"""What travels through imaging: the limits that go in, the description of what was made that comes out.

Owns the JSON form of both, for the way to the decoder's process and back. Never imports PIL.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Limits:
    """What a header may announce. Checked before a pixel is decoded.

    `max_frames` refuses a file built of frames: only the first is decoded, but finding its place costs the library
    time or memory per frame (an animation of 10,000 frames runs for minutes; nobody drops one by accident).
    """

    max_pixels: int = 100_000_000
    max_side: int = 65_535
    max_frames: int = 10_000


@dataclass(frozen=True)
class MadeVariant:
    """One file made: sides in pixels, size in bytes, `format` as in `Format.name` ("jpeg")."""

    name: str
    filename: str
    width: int
    height: int
    bytes: int
    format: str


@dataclass(frozen=True)
class Made:
    """One image made: the original's format and its sides as a person sees it, after orientation."""

    format: str
    width: int
    height: int
    variants: tuple[MadeVariant, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values that JSON can carry."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Made:
        """Rebuild from `to_json`. Raises KeyError, TypeError or ValueError for anything else.

        The sender is a process that decodes untrusted bytes: types are checked, nothing is taken for granted.
        """
        variants = tuple(MadeVariant(**_typed(MadeVariant, item)) for item in value["variants"])
        fields = _typed(cls, {key: value[key] for key in ("format", "width", "height")} | {"variants": variants})
        return cls(**fields)


_TYPES: dict[str, type] = {
    "name": str,
    "filename": str,
    "width": int,
    "height": int,
    "bytes": int,
    "format": str,
    "variants": tuple,
}


def _typed(kind: type, fields: dict[str, Any]) -> dict[str, Any]:
    """Return `fields` if every one is of its declared type, within sane bounds."""
    for name, value in fields.items():
        if type(value) is not _TYPES[name]:
            raise TypeError(f"{kind.__name__}.{name} is a {type(value).__name__}")
        if isinstance(value, int) and not 0 < value < 2**40:
            raise ValueError(f"{kind.__name__}.{name} is out of range")
        if isinstance(value, str) and len(value) > 64:
            raise ValueError(f"{kind.__name__}.{name} is too long")
    return fields

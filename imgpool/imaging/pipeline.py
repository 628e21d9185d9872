"""One original in, its variants out: decode once, to sRGB, turn, resize, encode. Imports PIL.

Owns the order of the steps, chosen so that each works on as few pixels as possible. Runs in a decoder child or, with
`isolation=thread`, in the worker thread; keeps no state between images.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PIL import Image

from imgpool.errors import ImagingError, MachineFailed
from imgpool.imaging import decode as decoding
from imgpool.imaging.colour import to_srgb
from imgpool.imaging.encode import sync_variants, write_variant
from imgpool.imaging.model import Limits, Made, MadeVariant
from imgpool.imaging.outputs import remove_variants
from imgpool.imaging.recipe import Recipe, Variant, target_size, uncropped_size
from imgpool.imaging.resize import resize

__all__ = ["Limits", "Made", "MadeVariant", "make_variants"]

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def make_variants(
    original: Path,
    into: Path,
    recipe: Recipe,
    limits: Limits,
    check: Callable[[], None] = lambda: None,
    *,
    sync: bool = True,
) -> Made:
    """Make every variant of `original` in the existing directory `into`; blocks until all are there.

    Each is written aside as `.NAME.EXT.part` and renamed; with `sync` all is on the disk when this returns. `check`
    is called between the steps and may raise to stop early. Raises `ImagingError` when the image is at fault or the
    result cannot be written, and what `check` raises; then nothing of this image is left in `into`.
    Safe to call from several threads at once.
    """
    decoding.register()
    try:
        return _make(original, into, recipe, limits, check, sync)
    except MemoryError as error:
        remove_variants(recipe, into)
        raise decoding.out_of_memory() from error
    except BaseException:
        remove_variants(recipe, into)
        raise


def _make(original: Path, into: Path, recipe: Recipe, limits: Limits, check: Callable[[], None], sync: bool) -> Made:
    check()

    def needed(size: tuple[int, int]) -> tuple[int, int]:
        return max(uncropped_size(variant, size) for variant in recipe.variants)

    decoded = decoding.decode(original, limits, needed, check)
    size = (decoded.width, decoded.height)
    picture = _finished(decoded, needed(size))
    format_name = decoded.format.name
    del decoded  # frees the decoded picture; what follows needs the shrunk one only
    check()

    made: dict[str, MadeVariant] = {}
    # Largest first, so that each variant is made from the last whole picture: a thumbnail from the large one.
    for variant in sorted(recipe.variants, key=lambda v: uncropped_size(v, size), reverse=True):
        target = target_size(variant, size)
        result = resize(picture, target, _centre_box(variant, picture.size, target))
        if variant.kind != "cover":
            picture = result
        try:
            made[variant.name] = write_variant(result, variant, into, sync)
        except OSError as error:
            raise _not_written(variant.name, error) from error
        check()
    if sync:
        try:
            sync_variants(into, [each.filename for each in made.values()])
        except OSError as error:
            raise _not_written(recipe.variants[-1].name, error) from error
    return Made(format_name, *size, tuple(made[variant.name] for variant in recipe.variants))


def _not_written(name: str, error: OSError) -> ImagingError:
    """Say that the disk is to blame, or the encoder: its errors are OSErrors as well, but carry no number."""
    kind = ImagingError if error.errno is None else MachineFailed
    return kind(f"The variant {name!r} could not be written: {error.strerror or error}.")


def _finished(decoded: decoding.Decoded, size: tuple[int, int]) -> Image.Image:
    """Return the whole picture at `size` (as a person sees it), in sRGB, upright.

    Shrinks first and turns last: turning 12 million pixels to throw most of them away costs a full copy.
    """
    lying = (size[1], size[0]) if decoded.orientation >= 5 else size
    picture = to_srgb(resize(decoded.picture, lying), decoded.profile)
    turn = _TURNS.get(decoded.orientation)
    return picture if turn is None else picture.transpose(turn)


def _centre_box(
    variant: Variant, size: tuple[int, int], target: tuple[int, int]
) -> tuple[float, float, float, float] | None:
    """Return the largest part of a picture of `size`, at its centre, that has the target's shape."""
    if variant.kind != "cover":
        return None
    scale = min(size[0] / target[0], size[1] / target[1])
    width, height = target[0] * scale, target[1] * scale
    left, top = (size[0] - width) / 2, (size[1] - height) / 2
    return left, top, min(left + width, size[0]), min(top + height, size[1])

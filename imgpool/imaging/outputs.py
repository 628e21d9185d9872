"""The names of the files that a recipe makes, and how to remove them. Never imports PIL: the parent of a decoder
child that was killed has to tidy up after it."""

from __future__ import annotations

from pathlib import Path

from imgpool.imaging.formats import AVIF, JPEG, PNG, WEBP
from imgpool.imaging.recipe import Recipe, Variant

OUTPUT_FORMATS = {"jpeg": JPEG, "webp": WEBP, "png": PNG, "avif": AVIF}


def possible_filenames(variant: Variant) -> set[str]:
    """Return every name that the variant's file may have; which, depends on the picture."""
    return {f"{variant.name}.{output.extension}" for output in OUTPUT_FORMATS.values()}


def part_name(filename: str) -> str:
    """Return the name under which a file is written until it is whole."""
    return f".{filename}.part"


def remove_variants(recipe: Recipe, into: Path) -> None:
    """Remove every file that making this recipe in `into` may have left, whole or half. Never raises OSError."""
    for variant in recipe.variants:
        for filename in possible_filenames(variant):
            try:
                (into / filename).unlink(missing_ok=True)
                (into / part_name(filename)).unlink(missing_ok=True)
            except OSError:
                return  # the directory is gone, or the disk has failed: nothing more can be done here

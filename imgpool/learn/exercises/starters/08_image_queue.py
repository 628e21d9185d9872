"""An image queue

This program makes one thumbnail after the other, and a broken picture ends it. Let a pool of workers make them, and let
main() print a line for each file: "NAME: done", or "NAME: failed" and why.
"""

from pathlib import Path

from imgpool.imaging.pipeline import Limits, make_variants
from imgpool.imaging.recipe import parse_recipe

RECIPE = parse_recipe("thumb=fit:128x128")


def make_thumbnail(original: Path, out: Path) -> None:
    """Write OUT/NAME/thumb.jpg (or .webp), where NAME is the original's. Raises an error for a broken picture."""
    into = out / original.name
    into.mkdir(parents=True)
    make_variants(original, into, RECIPE, Limits(), sync=False)


def main(folder: str = "pictures", out: str = "thumbnails", workers: int = 2) -> None:
    """Make a thumbnail of each file in the folder."""
    for original in sorted(Path(folder).iterdir()):
        make_thumbnail(original, Path(out))


if __name__ == "__main__":
    main()

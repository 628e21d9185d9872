"""Where the sample pictures are: in the installed package, or at the top of a checkout. Never opens one."""

from __future__ import annotations

from pathlib import Path

import imgpool
from imgpool.imaging.formats import INPUT_FORMATS

_ENDINGS = {f".{image_format.extension}" for image_format in INPUT_FORMATS} | {".tiff"}


def sample_images() -> tuple[Path, ...]:
    """Return the good sample pictures, by name. Raises FileNotFoundError when this installation has none."""
    package = Path(imgpool.__file__).parent
    for folder in (package / "sample_images", package.parent / "sample_images"):
        if folder.is_dir():
            return tuple(sorted(path for path in folder.iterdir() if path.suffix in _ENDINGS))
    raise FileNotFoundError("the sample images are not installed: run this from a checkout of imgpool")

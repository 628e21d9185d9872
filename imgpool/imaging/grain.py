"""Sample pictures made as a camera's: for benchmarks only. Imports PIL.

The samples are painted. A sensor adds grain, which fills a file and takes a decoder's time: with it a photo of 12
megapixels at quality 90 has 2.5 to 2.9 MB instead of 0.6, about 1.8 bits a pixel.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageChops

SIGMA = 4  # of 255, the same in all three colours
QUALITY = 90


def with_grain(picture: Image.Image) -> Image.Image:
    """The picture, in RGB, with the grain of a sensor."""
    grain = Image.effect_noise(picture.size, SIGMA)  # around 128
    return ImageChops.add(picture.convert("RGB"), Image.merge("RGB", [grain] * 3), offset=-128)


def write_with_grain(photo: Path, to: Path) -> None:
    """The photo as a camera's JPEG, lying or standing as before."""
    with Image.open(photo) as opened:
        with_grain(opened).save(to, "JPEG", quality=QUALITY, exif=opened.getexif().tobytes())

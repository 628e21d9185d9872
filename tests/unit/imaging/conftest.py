"""Pictures for the tests, and a way to put one through the pipeline."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from imgpool.imaging.model import Limits, Made
from imgpool.imaging.pipeline import make_variants
from imgpool.imaging.recipe import parse_recipe

# Asymmetric in every way: no turn or mirror image of it looks like it.
CORNERS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220), "yellow": (220, 220, 30)}


def scene(width: int = 120, height: int = 80) -> Image.Image:
    """Four flat corners: red, green / blue, yellow."""
    pixels = np.zeros((height, width, 3), np.uint8)
    red, green, blue, yellow = CORNERS.values()
    pixels[: height // 2, : width // 2] = red
    pixels[: height // 2, width // 2 :] = green
    pixels[height // 2 :, : width // 2] = blue
    pixels[height // 2 :, width // 2 :] = yellow
    return Image.fromarray(pixels)


def corners(image: Image.Image) -> list[str]:
    """Name the colours at top left, top right, bottom left, bottom right."""
    found = []
    rgb = image.convert("RGB")
    for y in (0.2, 0.8):
        for x in (0.2, 0.8):
            pixel = np.array(rgb.getpixel((int(rgb.width * x), int(rgb.height * y))), int)
            found.append(min(CORNERS, key=lambda name: int(np.abs(pixel - CORNERS[name]).sum())))
    return found


def encoded(image: Image.Image, file_format: str, **options: Any) -> bytes:
    """Encode an image into bytes."""
    out = io.BytesIO()
    image.save(out, format=file_format, **options)
    return out.getvalue()


@dataclass
class Run:
    """What came out of the pipeline."""

    made: Made
    into: Path

    def image(self, name: str = "large") -> Image.Image:
        """Load a variant."""
        filename = next(variant.filename for variant in self.made.variants if variant.name == name)
        with Image.open(self.into / filename) as image:
            image.load()
            return image

    def pixel(self, x: float = 0.5, y: float = 0.5, name: str = "large") -> np.ndarray:
        """Return the pixel at a relative place, as integers."""
        image = self.image(name)
        return np.array(image.getpixel((int(image.width * x), int(image.height * y))), int)


Runner = Callable[..., Run]


class Pictures:
    """The functions above, for test modules (which cannot import a conftest)."""

    scene = staticmethod(scene)
    corners = staticmethod(corners)
    encoded = staticmethod(encoded)


@pytest.fixture(scope="session")
def pictures() -> type[Pictures]:
    return Pictures


@pytest.fixture
def run(tmp_path: Path) -> Runner:
    """Put an image (bytes) through the pipeline."""
    count = 0

    def process(
        content: bytes, recipe: str = "large=fit:1600x1600,thumb=fit:256x256", limits: Limits | None = None
    ) -> Run:
        nonlocal count
        count += 1
        original = tmp_path / f"original-{count}"
        original.write_bytes(content)
        into = tmp_path / f"out-{count}"
        into.mkdir()
        try:
            made = make_variants(original, into, parse_recipe(recipe), limits or Limits(), sync=False)
        except BaseException:
            assert list(into.iterdir()) == []  # nothing is left of an image that failed
            raise
        assert sorted(path.name for path in into.iterdir()) == sorted(v.filename for v in made.variants)
        return Run(made, into)

    return process

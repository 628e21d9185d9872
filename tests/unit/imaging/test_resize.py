"""Both resamplers give the same picture: every mode, odd sizes, sides of one pixel, boxes, memory of many blocks."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from PIL import Image

from imgpool.imaging import resize as resizing
from imgpool.imaging.resize import resize
from pictures import photo

needs_simd = pytest.mark.skipif(resizing.simd is None, reason="needs the extra imgpool[fast]")
MODES = ["L", "LA", "RGB", "RGBA", "CMYK", "LAB"]
MEAN, LARGEST = 1.0, 16  # of 255
SIZES = [(200, 150), (199, 151), (37, 23), (33, 1), (1, 41), (1, 1), (8, 6), (150, 2)]


def picture(mode: str, size: tuple[int, int] = (400, 300)) -> Image.Image:
    """A photo in any mode; with alpha, a ramp from clear to opaque."""
    with Image.open(io.BytesIO(photo(*size))) as opened:
        rgb = opened.convert("RGB")
    if mode == "LAB":
        return Image.frombytes("LAB", size, rgb.tobytes())
    if mode in ("LA", "RGBA"):
        alpha = Image.linear_gradient("L").resize(size)
        plain = rgb.convert(mode[:-1])
        plain.putalpha(alpha)
        return plain
    return rgb.convert(mode)


def difference(a: Image.Image, b: Image.Image) -> tuple[float, int]:
    """Mean and largest difference of two pictures as they are seen: colours weighted by alpha."""
    pixels = []
    for image in (a, b):
        array = np.asarray(image).astype(float).reshape(image.height, image.width, -1)
        if image.mode in ("LA", "RGBA"):
            array = np.dstack((array[..., :-1] * array[..., -1:] / 255, array[..., -1:]))
        pixels.append(array)
    apart = np.abs(pixels[0] - pixels[1])
    return float(apart.mean()), round(float(apart.max()))


def by_pillow(image: Image.Image, size: tuple[int, int], box: resizing.Box | None = None) -> Image.Image:
    return resizing._by_pillow(image, size, box)


@needs_simd
@pytest.mark.parametrize("mode", MODES)
def test_they_agree_on_every_mode_and_size(mode: str) -> None:
    image = picture(mode)
    before = image.tobytes()
    for size in SIZES:
        found = resize(image, size)
        assert (found.mode, found.size) == (mode, size)
        mean, largest = difference(found, by_pillow(image, size))
        assert mean <= MEAN, (size, mean)
        assert largest <= LARGEST, (size, largest)
    assert image.tobytes() == before


@needs_simd
def test_they_agree_from_sides_of_one_pixel_and_on_enlarging() -> None:
    for mode, source, target in product(("L", "RGB", "RGBA"), [(1, 1), (1, 99), (99, 1), (2, 3)], [(1, 1), (5, 7)]):
        image = picture(mode, (99, 99)).crop((0, 50, source[0], 50 + source[1])) if source != (99, 99) else None
        assert image is not None
        mean, largest = difference(resize(image, target), by_pillow(image, target))
        assert mean <= MEAN, (mode, source, target)
        assert largest <= LARGEST, (mode, source, target)


@needs_simd
def test_they_agree_on_boxes() -> None:
    image = picture("RGB")
    for box in (
        (0.0, 0.0, 400.0, 300.0),
        (50.0, 0.0, 350.0, 300.0),
        (33.25, 10.5, 366.75, 289.5),
        (0.0, 0.0, 1.0, 1.0),
    ):
        mean, largest = difference(resize(image, (64, 64), box), by_pillow(image, (64, 64), box))
        assert mean <= MEAN, box
        assert largest <= LARGEST, box


@needs_simd
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_they_agree_on_a_picture_in_several_blocks_of_memory(mode: str) -> None:
    """Pillow keeps 16 MB in a piece; and a step of a fifteenth goes by way of block averages."""
    image = picture(mode, (3001, 2003))
    for size in ((1600, 1068), (200, 133)):
        mean, largest = difference(resize(image, size), by_pillow(image, size))
        assert mean <= MEAN, size
        assert largest <= LARGEST, size


@pytest.mark.parametrize("way", [resize, by_pillow])
def test_hidden_colours_do_not_shine_through(way: Callable[..., Image.Image]) -> None:
    """Red where it is opaque, green where nothing is seen: no green at the edge."""
    image = Image.new("RGBA", (100, 100), (0, 255, 0, 0))
    image.paste((255, 0, 0, 255), (0, 0, 47, 100))
    found = np.asarray(way(image, (10, 10)))
    seen = found[found[..., 3] > 8]
    assert len(seen)
    assert seen[:, 1].max() <= 8


def test_nothing_to_do() -> None:
    image = picture("RGB")
    assert resize(image, image.size) is image
    assert resize(image, image.size, (0.0, 0.0, 400.0, 300.0)) is image


@needs_simd
def test_memory_that_is_not_there_is_an_error_and_not_the_end_of_the_process() -> None:
    code = (
        "import resource\nfrom PIL import Image\nfrom imgpool.imaging.resize import resize\n"
        "image = Image.new('RGBA', (4000, 4000))\n"
        "pages = int(open('/proc/self/statm').read().split()[0])\n"
        "limit = pages * resource.getpagesize() + 50_000_000\n"
        "resource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
        "try:\n    resize(image, (2000, 2000))\nexcept MemoryError:\n    print('told')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "told"), done.stderr


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_without_the_extra_the_pipeline_makes_the_same(
    run: Callable[..., Any], pictures: Any, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    image = picture("RGBA" if kind == "PNG" else "RGB", (900, 700))
    content = pictures.encoded(image, kind)
    with_it = run(content, "large=fit:300x300,square=cover:64x64:png,tiny=width:9:png")
    monkeypatch.setattr(resizing, "simd", None)
    without = run(content, "large=fit:300x300,square=cover:64x64:png,tiny=width:9:png")
    for variant in with_it.made.variants:
        mean, largest = difference(with_it.image(variant.name), without.image(variant.name))
        assert mean <= MEAN, variant
        assert largest <= 2 * LARGEST, variant  # through a lossy encoder

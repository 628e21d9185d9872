"""The estimate of what decoding takes: from each format's header, from above, and for nonsense the worst."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from imgpool.imaging.memory import CHILD_BYTES, memory_needed
from imgpool.imaging.recipe import parse_recipe

RECIPE = parse_recipe("large=fit:100x100,thumb=fit:20x20")
SIDE = 2000
PIXELS = SIDE * SIDE


def per_pixel(tmp_path: Path, data: bytes, recipe: str = "large=fit:100x100") -> float:
    path = tmp_path / "file"
    path.write_bytes(data)
    needed = memory_needed(path, parse_recipe(recipe))
    assert needed is not None
    return (needed - CHILD_BYTES) / PIXELS


def saved(mode: str, file_format: str, **options: object) -> bytes:
    with io.BytesIO() as file:
        Image.new(mode, (SIDE, SIDE)).save(file, file_format, **options)
        return file.getvalue()


@pytest.mark.parametrize(
    ("mode", "file_format", "options", "least", "most"),
    [
        ("RGB", "PNG", {}, 4, 6.5),
        ("P", "PNG", {}, 5, 7.5),
        ("RGBA", "PNG", {}, 9, 11),
        ("LA", "PNG", {}, 9, 11),
        ("RGB", "PNG", {"transparency": (1, 2, 3)}, 12, 14),
        ("P", "PNG", {"transparency": 3}, 9, 11),
        ("I;16", "PNG", {}, 10, 16),
        ("RGB", "JPEG", {}, 0.1, 0.5),
        ("RGB", "JPEG", {"progressive": True}, 3, 3.5),
        ("RGB", "JPEG", {"progressive": True, "subsampling": 0}, 6, 6.5),
        ("L", "JPEG", {"progressive": True}, 2, 2.5),
        ("CMYK", "JPEG", {"progressive": True, "subsampling": 0}, 8, 8.6),
        ("RGB", "WEBP", {}, 16, 19),
        ("RGB", "TIFF", {}, 11, 16),
        ("P", "GIF", {}, 5, 12),
        ("RGB", "BMP", {}, 5, 12),
        ("RGB", "AVIF", {"speed": 10}, 9, 17),
    ],
)
def test_each_format_by_its_header(
    tmp_path: Path, mode: str, file_format: str, options: dict[str, object], least: float, most: float
) -> None:
    assert least <= per_pixel(tmp_path, saved(mode, file_format, **options)) <= most


def test_a_jpeg_in_several_scans_is_kept_whole_like_a_progressive_one(tmp_path: Path) -> None:
    """Baseline, but its first scan holds one of three components."""
    data = bytearray(saved("RGB", "JPEG", subsampling=0))
    scan = data.index(b"\xff\xda")
    data[scan + 4] = 1
    assert per_pixel(tmp_path, bytes(data)) > 6


def test_a_recipe_that_needs_the_whole_picture_costs_more(tmp_path: Path) -> None:
    data = saved("RGB", "JPEG")
    assert per_pixel(tmp_path, data) < 1
    assert per_pixel(tmp_path, data, "large=fit:1500x1500") > 4
    assert per_pixel(tmp_path, data, "large=fit:2000x2000:avif") > 30


def test_what_has_no_size_cannot_be_told(tmp_path: Path) -> None:
    for name, data in (("text", b"no picture"), ("short", b"\x89PNG\r\n\x1a\n"), ("empty", b"")):
        (tmp_path / name).write_bytes(data)
        assert memory_needed(tmp_path / name, RECIPE) is None
    assert memory_needed(tmp_path / "missing", RECIPE) is None


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_a_header_that_is_cut_or_bent_anywhere_raises_nothing(tmp_path: Path, file_format: str) -> None:
    data = saved("RGB", file_format)
    path = tmp_path / "file"
    for end in range(4, 700, 3):
        bent = bytearray(data[:700])
        bent[end] ^= 0xFF
        for content in (data[:end], bytes(bent)):
            path.write_bytes(content)
            needed = memory_needed(path, RECIPE)
            assert needed is None or needed >= CHILD_BYTES


def test_a_jpeg_of_endless_segments_counts_as_the_worst(tmp_path: Path) -> None:
    data = saved("RGB", "JPEG")
    frame = data.index(b"\xff\xc0")
    filler = b"\xff\xe1\x00\x02" * 3000
    assert per_pixel(tmp_path, data[:frame] + filler + data[frame:]) > 8

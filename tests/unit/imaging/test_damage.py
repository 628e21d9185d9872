"""Damaged, hostile and oversized originals: one kind of error, a sentence, nothing left behind."""

from __future__ import annotations

import importlib.util
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from imgpool.errors import DecodeFailed, ImageTooLarge, ImagingError, UnsupportedFormat
from imgpool.imaging import decode
from imgpool.imaging.model import Limits
from imgpool.imaging.pipeline import make_variants
from imgpool.imaging.recipe import parse_recipe

HEIF = importlib.util.find_spec("pillow_heif") is not None
needs_heif = pytest.mark.skipif(not HEIF, reason="needs the extra imgpool[heif]")
FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "AVIF", "TIFF", "BMP", pytest.param("HEIF", marks=needs_heif)]


def _noise(width: int = 200, height: int = 150) -> Image.Image:
    """A picture that no format can pack into nothing."""
    return Image.frombytes("RGB", (width, height), random.Random(7).randbytes(width * height * 3))


def _sentence(run: Callable[..., Any], content: bytes) -> str:
    """Return what is said of a damaged file; "Fine." when it is still whole enough. Lets no other error pass."""
    try:
        run(content, limits=Limits(max_pixels=1_000_000))
    except ImagingError as error:
        return str(error)
    return "Fine."


@pytest.fixture(autouse=True)
def _heif_can_be_written() -> None:
    decode.register()


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_file_cut_short(pictures: Any, run: Callable[..., Any], name: str, part: float) -> None:
    options = {"compression": "tiff_lzw"} if name == "TIFF" and part == 0.5 else {}
    content = pictures.encoded(_noise(), name, **options)
    with pytest.raises(DecodeFailed) as caught:
        run(content[: int(len(content) * part)])
    if name != "TIFF":  # its table of contents may stand at the end; then nothing can be told
        assert "cut short" in str(caught.value)


@pytest.mark.parametrize("name", FORMATS)
def test_cut_anywhere(pictures: Any, run: Callable[..., Any], name: str) -> None:
    content = pictures.encoded(_noise(40, 30), name)
    for length in range(0, len(content), max(1, len(content) // 60)):
        assert _sentence(run, content[:length]).endswith(".")


@pytest.mark.parametrize("name", FORMATS)
def test_bytes_overwritten(pictures: Any, run: Callable[..., Any], name: str) -> None:
    content = pictures.encoded(_noise(40, 30), name)
    chance = random.Random(name)
    for _ in range(60):
        broken = bytearray(content)
        for _ in range(chance.choice((1, 5, 50))):
            broken[chance.randrange(8, len(broken))] = chance.randrange(256)
        assert _sentence(run, bytes(broken)).endswith(".")


@pytest.mark.parametrize(
    "magic",
    [
        b"\xff\xd8\xff\xe0",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a\x20\0\x20\0\xf7\0\0",
        b"RIFF\xff\0\0\0WEBPVP8 ",
        b"RIFF\xff\0\0\0WEBPVP8X",
        b"\0\0\0\x18ftypavif\0\0\0\0mif1avif",
        b"II*\0\x08\0\0\0",
        b"MM\0+\0\x08\0\0\0\0\0\0\0\0\0\x10",
        b"BM\xff\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0",
    ],
)
def test_nonsense_after_a_true_beginning(run: Callable[..., Any], magic: bytes) -> None:
    chance = random.Random(magic)
    for length in (0, 1, 30, 1000, 20_000):
        with pytest.raises(ImagingError):
            run(magic + chance.randbytes(length), limits=Limits(max_pixels=1_000_000))


def test_what_is_no_image_is_refused(run: Callable[..., Any], pictures: Any) -> None:
    for content in (b"", b"<svg/>", b"%!PS-Adobe-3.0 EPSF-3.0\n", pictures.encoded(pictures.scene(), "PPM")):
        with pytest.raises(UnsupportedFormat, match="Accepted are JPEG, PNG"):
            run(content)


def test_a_missing_original(tmp_path: Path) -> None:
    with pytest.raises(ImagingError, match="no longer there"):
        make_variants(tmp_path / "none", tmp_path, parse_recipe("a=fit:1x1"), Limits())


def test_a_disk_that_does_not_take_it(tmp_path: Path, pictures: Any) -> None:
    (tmp_path / "x").write_bytes(pictures.encoded(pictures.scene(), "PNG"))
    with pytest.raises(ImagingError, match=r"variant 'a' could not be written: No such file") as caught:
        make_variants(tmp_path / "x", tmp_path / "none", parse_recipe("a=fit:1x1"), Limits())
    assert not isinstance(caught.value, DecodeFailed)  # the picture is not to blame


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_a_bomb_is_refused_before_it_is_decoded(run: Callable[..., Any]) -> None:
    # 40,000 x 40,000 black pixels: 1.6 billion, in few bytes. Its pixels are missing: decoding would say so.
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0))
    with pytest.raises(ImageTooLarge, match=r"1,600 million pixels \(40000 x 40000\); at most 100 million"):
        run(b"\x89PNG\r\n\x1a\n" + head + _chunk(b"IDAT", b"") + _chunk(b"IEND", b""))


@pytest.mark.parametrize("name", FORMATS)
def test_limits_hold_for_each_format(pictures: Any, run: Callable[..., Any], name: str) -> None:
    content = pictures.encoded(_noise(128, 64), name)
    run(content, limits=Limits(max_pixels=128 * 64, max_side=128))
    with pytest.raises(ImageTooLarge, match="128 x 64"):
        run(content, limits=Limits(max_pixels=128 * 64 - 1))
    with pytest.raises(ImageTooLarge, match="at most 127 a side"):
        run(content, limits=Limits(max_side=127))


@pytest.mark.parametrize("name", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_too_many_frames(pictures: Any, run: Callable[..., Any], name: str) -> None:
    shades = [Image.new("RGB", (64, 64), (shade * 40, 0, 0)) for shade in range(6)]
    content = pictures.encoded(shades[0], name, save_all=True, append_images=shades[1:])
    run(content, limits=Limits(max_frames=6))
    with pytest.raises(ImageTooLarge, match="more than 5 frames"):
        run(content, limits=Limits(max_frames=5))


def test_a_tiff_that_goes_round_in_circles(pictures: Any, run: Callable[..., Any]) -> None:
    shades = [Image.new("L", (16, 16), shade) for shade in (10, 200)]
    content = bytearray(pictures.encoded(shades[0], "TIFF", save_all=True, append_images=shades[1:]))
    first = struct.unpack_from("<I", content, 4)[0]
    entries = struct.unpack_from("<H", content, first)[0]
    second = struct.unpack_from("<I", content, first + 2 + 12 * entries)[0]
    entries = struct.unpack_from("<H", content, second)[0]
    struct.pack_into("<I", content, second + 2 + 12 * entries, first)
    assert run(bytes(content)).pixel().max() < 20


def test_a_gif_of_very_many_frames(run: Callable[..., Any]) -> None:
    frame = b",\0\0\0\0\1\0\1\0\0\2\2\x44\1\0"
    content = b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff" + frame * 20_000 + b";"
    with pytest.raises(ImageTooLarge, match="more than 10,000 frames"):
        run(content)
    assert run(content, limits=Limits(max_frames=20_000)).made.width == 1

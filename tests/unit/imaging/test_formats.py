"""Telling formats by their bytes, and sizes from headers, on honest and on hostile files."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from imgpool.errors import ImageTooLarge
from imgpool.imaging import formats
from imgpool.imaging.formats import SNIFF_BYTES, check_header, header_size, sniff
from imgpool.imaging.model import Limits

SAVED = [
    ("JPEG", "jpeg"),
    ("PNG", "png"),
    ("WEBP", "webp"),
    ("GIF", "gif"),
    ("AVIF", "avif"),
    ("TIFF", "tiff"),
    ("BMP", "bmp"),
]


@pytest.mark.parametrize(("pillow", "name"), SAVED)
def test_each_format_is_told_and_measured(pictures: Any, tmp_path: Path, pillow: str, name: str) -> None:
    content = pictures.encoded(pictures.scene(123, 45), pillow)
    found = sniff(content[:SNIFF_BYTES])
    assert found is not None
    assert (found.name, found.pillow) == (name, pillow)
    path = tmp_path / "name-says-nothing.txt"
    path.write_bytes(content)
    assert header_size(path) == (123, 45)
    with pytest.raises(ImageTooLarge, match="123 x 45"):
        check_header(path, Limits(max_pixels=123 * 45 - 1))
    with pytest.raises(ImageTooLarge, match="at most 122 a side"):
        check_header(path, Limits(max_side=122))
    assert check_header(path, Limits(max_pixels=123 * 45, max_side=123)) == (123, 45)


@pytest.mark.skipif(not formats.HEIF_AVAILABLE, reason="needs the extra imgpool[heif]")
def test_heic_is_told_and_measured(pictures: Any, tmp_path: Path) -> None:
    import pillow_heif

    pillow_heif.register_heif_opener()
    # Sides that the codec need not pad: the header gives those of the coded picture, before its crop.
    content = pictures.encoded(pictures.scene(128, 64), "HEIF")
    assert sniff(content[:SNIFF_BYTES]) is formats.HEIF
    (tmp_path / "x").write_bytes(content)
    assert header_size(tmp_path / "x") == (128, 64)


def test_heic_is_refused_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "HEIF_AVAILABLE", False)
    assert sniff(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic") is None
    assert sniff(b"\0\0\0\x18ftypavif\0\0\0\0mif1avif") is formats.AVIF


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\xff\xd8",
        b"<svg xmlns='http://www.w3.org/2000/svg'>",
        b"<?xml version='1.0'?><svg>",
        b"%!PS-Adobe-3.0 EPSF-3.0",
        b"\xc5\xd0\xd3\xc6" + b"\0" * 28,
        b"%PDF-1.7",
        b"BMW is a maker of cars and not an image",
        b"PK\x03\x04",
        b"8BPS\0\1",
        b"\0\0\1\0\1\0",
        b"P6\n1 1\n255\n",
        b"RIFF\0\0\0\0WAVEfmt ",
        b"\0\0\0\x18ftypmp42\0\0\0\0isommif1",
        b"\0\0\0\x0cjP  \r\n\x87\n",
        b"II*\0\x10\0\0\0CR\2\0",
        b"\0" * 256,
    ],
)
def test_anything_else_is_refused(head: bytes) -> None:
    assert sniff(head) is None


def _bmp(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHI", 60, 0, 0, 26) + struct.pack("<IHHHH", 12, width, height, 1, 24) + b"\0" * 34


@pytest.mark.parametrize(
    ("content", "size"),
    [
        (b"GIF89a" + struct.pack("<HHBBB", 40000, 50000, 0, 0, 0) + b";" * 60, (40000, 50000)),
        (_bmp(300, 200), (300, 200)),
        (
            b"RIFF\x50\0\0\0WEBPVP8 \x40\0\0\0\0\0\0\x9d\x01\x2a"
            + struct.pack("<HH", 0x4000 | 300, 0x8000 | 200)
            + b"\0" * 60,
            (300, 200),
        ),
        (b"\xff\xd8" + b"\xff\xe1\xff\xff" + b"\0" * 65533 + b"\xff\xc0\0\x11\x08\0\x10\0\x20" + b"\0" * 60, (32, 16)),
    ],
)
def test_sizes_that_are_easily_misread(tmp_path: Path, content: bytes, size: tuple[int, int]) -> None:
    (tmp_path / "x").write_bytes(content)
    assert header_size(tmp_path / "x") == size


def _png_header(width: int, height: int) -> bytes:
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)) + b"\0" * 40


def test_the_sentence_gives_the_numbers(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(_png_header(16384, 16384))
    with pytest.raises(ImageTooLarge) as caught:
        check_header(tmp_path / "x", Limits())
    assert str(caught.value) == (
        "This image has 268 million pixels (16384 x 16384); at most 100 million are accepted. "
        "Scale it down and upload it again."
    )


def test_a_little_over_the_limit_is_not_rounded_to_it(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(_png_header(10001, 10000))
    with pytest.raises(ImageTooLarge, match=r"has 100,010,000 pixels"):
        check_header(tmp_path / "x", Limits())


def _box(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", 8 + len(payload)) + kind + payload


FTYP = _box(b"ftyp", b"avif\0\0\0\0mif1")
ENDLESS = b"\2\0\0\0\0\0" + struct.pack(">I", 400_000) + (b"\0\0\0\1\0\0\0\0\xff\xff") * 400_000

# Each of these costs imagesize alone seconds, minutes or gigabytes.
HOSTILE = {
    "jpeg without a marker": b"\xff\xd8\xff\xe0\0\4ab" + b"\0" * 8_000_000,
    "jpeg of millions of segments": b"\xff\xd8" + b"\xff\xe0\0\2" * 2_000_000,
    "jpeg of fill bytes": b"\xff\xd8" + b"\xff" * 8_000_000,
    "bigtiff of millions of entries": b"II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0" + b"\xff" * 8_000_000,
    "iso of millions of boxes": FTYP + _box(b"free", b"") * 1_000_000,
    "iso with a giant table": FTYP + _box(b"meta", b"\0\0\0\0" + _box(b"iprp", _box(b"ipma", b"\0" * 8_000_000))),
    "iso with endless extents": FTYP + _box(b"meta", b"\0\0\0\0" + _box(b"iloc", ENDLESS)),
    "iso with a box beyond all numbers": FTYP + struct.pack(">I4sQ", 1, b"meta", 2**64 - 1) + b"\0" * 64,
    "brands without end": struct.pack(">I", 8_000_000) + b"ftypavis" + b"\0" * 8_000_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_headers_cost_next_to_nothing(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(HOSTILE[name])
    reads = 0

    class Counted(formats._Bounded):
        def read(self, size: int = -1) -> bytes:
            nonlocal reads
            reads += 1
            return super().read(size)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(formats, "_Bounded", Counted)
        assert header_size(path) is None
    assert reads <= 20_001


@given(
    st.sampled_from(
        [
            b"\xff\xd8\xff",
            b"\x89PNG\r\n\x1a\n",
            b"GIF89a",
            b"II*\0",
            b"MM\0*",
            b"BM",
            b"\0\0\0\x18ftypavif",
            b"RIFF\0\0\0\0WEBPVP8X",
        ]
    ),
    st.binary(max_size=400),
)
def test_no_bytes_make_it_raise(tmp_path_factory: pytest.TempPathFactory, magic: bytes, rest: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any-bytes"
    path.write_bytes(magic + rest)
    sniff(magic + rest)
    size = header_size(path)
    assert size is None or min(size) > 0


def test_a_file_that_is_gone_is_unknown(tmp_path: Path) -> None:
    assert header_size(tmp_path / "none") is None


def test_importing_them_loads_no_decoder() -> None:
    code = (
        "import sys, imgpool.imaging.sandbox, imgpool.imaging.formats, imgpool.imaging.recipe\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('PIL', 'pillow_heif', '_pillow_heif')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_pillow_agrees_on_the_names() -> None:
    from imgpool.imaging.decode import register

    register()
    assert {accepted.pillow for accepted in formats.INPUT_FORMATS} <= set(Image.OPEN)

"""How many parts a file may be built of: one more than the limit is refused, and nothing else is counted as one."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest

from hostile import chunk, encoded, gif, gif_frame, gradient, inflating, jpeg_scans, png, segment, tiff_grey
from hostile import tiff as tiff_of
from imgpool.errors import DecodeFailed, ImageTooLarge, ImagingError
from imgpool.imaging.model import Limits
from pictures import photo

Run = Callable[..., Any]


def test_jpeg_scans(run: Run) -> None:
    honest = jpeg_scans(64, 1).count(b"\xff\xda") - 1
    assert run(jpeg_scans(64, 200 - honest)).made.width == 64
    with pytest.raises(ImageTooLarge, match="more than 200 scans"):
        run(jpeg_scans(64, 201 - honest))


def test_what_looks_like_a_scan_in_a_thumbnail_or_after_the_picture_is_none(run: Run) -> None:
    looks = b"\xff\xda" * 400
    progressive = encoded(gradient(), "JPEG", progressive=True)
    for content in (photo(64, 48), progressive):
        assert run(content[:2] + segment(0xFE, looks) + content[2:] + looks).made.format == "jpeg"


def test_jpeg_segments(run: Run) -> None:
    rest = photo(64, 48)[2:]
    assert run(b"\xff\xd8" + segment(0xFE, b"x") * 9_000 + b"\xff" * 9 + rest).made.width == 64
    with pytest.raises(ImageTooLarge, match="more than 10,000 segments"):
        run(b"\xff\xd8" + segment(0xFE, b"x") * 10_000 + rest)


def test_png_chunks_and_texts(run: Run) -> None:
    assert run(png(chunk(b"juNk") * 99_000)).made.width == 16
    with pytest.raises(ImageTooLarge, match="more than 100,000 chunks"):
        run(png(chunk(b"juNk") * 100_000))
    text = chunk(b"zTXt", b"k\0\0" + inflating(1))
    assert run(png(chunk(b"tEXt", b"k\0v") * 1000 + text[:0])).made.width == 16
    with pytest.raises(ImageTooLarge, match="more than 100 packed texts and profiles"):
        run(png(text * 60 + chunk(b"iCCP", b"p\0\0" + inflating(1)) * 41))


def test_a_png_text_or_profile_may_unfold_to_four_megabytes(run: Run) -> None:
    for kind in (b"zTXt", b"iCCP"):
        assert run(png(chunk(kind, b"k\0\0" + inflating(4)))).made.width == 16
        with pytest.raises(DecodeFailed):
            run(png(chunk(kind, b"k\0\0" + inflating(5))))


def test_gif_blocks(run: Run) -> None:
    comment = b"!\xfe" + b"\1x" * 400_000 + b"\0"
    frame = encoded(gradient((16, 16)).convert("P"), "GIF")
    place = frame.index(b",")
    assert run(frame[:place] + comment * 2 + frame[place:]).made.width == 16
    with pytest.raises(ImageTooLarge, match="more than 1,000,000 blocks"):
        run(gif((16, 16), comment * 3, gif_frame(0, 0, 16, 16)))


def test_tiff_tiles(run: Run) -> None:
    for order in "<>":
        # Of a value of 16 bits the other half may hold anything.
        entries = [struct.pack(order + "HHI", 322, 3, 1) + struct.pack(order + "HH", 400, 65535)]
        entries += [struct.pack(order + "HHII", tag, *rest) for tag, *rest in tiff_grey(16, 16, (323, 4, 1, 400))]
        magic = b"II*\0" if order == "<" else b"MM\0*"
        content = magic + struct.pack(order + "IH", 8, len(entries)) + b"".join(entries) + b"\0" * 40
        with pytest.raises(ImageTooLarge, match="tiles of 400 x 400 pixels; at most 159,999 "):
            run(content, limits=Limits(max_pixels=159_999))
        with pytest.raises(ImagingError) as caught:  # it has no pixels
            run(content, limits=Limits(max_pixels=160_000))
        assert not isinstance(caught.value, ImageTooLarge)


@pytest.mark.parametrize("following", [8, 2**32 - 1, 80])
def test_a_directory_that_leads_nowhere_ends_the_walk(run: Run, following: int) -> None:
    with pytest.raises(DecodeFailed):
        run(tiff_of(tiff_grey(16, 16), following=following))

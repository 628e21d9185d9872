"""Originals of every kind through the pipeline: sizes, orientation, pixels, metadata."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from imgpool.imaging import decode
from imgpool.imaging.encode import output_format
from imgpool.imaging.model import Limits
from imgpool.imaging.pipeline import make_variants
from imgpool.imaging.recipe import parse_recipe

HEIF = importlib.util.find_spec("pillow_heif") is not None
needs_heif = pytest.mark.skipif(not HEIF, reason="needs the extra imgpool[heif]")
FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "AVIF", "TIFF", "BMP", pytest.param("HEIF", marks=needs_heif)]
ORIGINAL = ["red", "green", "blue", "yellow"]
# EXIF orientation -> where the colours of the stored picture are to be seen.
TURNED = {
    1: ["red", "green", "blue", "yellow"],
    2: ["green", "red", "yellow", "blue"],
    3: ["yellow", "blue", "green", "red"],
    4: ["blue", "yellow", "red", "green"],
    5: ["red", "blue", "green", "yellow"],
    6: ["blue", "red", "yellow", "green"],
    7: ["yellow", "green", "blue", "red"],
    8: ["green", "yellow", "red", "blue"],
}


@pytest.fixture(autouse=True)
def _heif_can_be_written() -> None:
    decode.register()


@pytest.mark.parametrize("name", FORMATS)
def test_each_format(pictures: Any, run: Callable[..., Any], name: str) -> None:
    out = run(pictures.encoded(pictures.scene(640, 400), name))
    assert (out.made.format, out.made.width, out.made.height) == (name.lower(), 640, 400)
    assert [(v.name, v.filename, v.width, v.height, v.format) for v in out.made.variants] == [
        ("large", "large.jpg", 640, 400, "jpeg"),
        ("thumb", "thumb.jpg", 256, 160, "jpeg"),
    ]
    for variant in out.made.variants:
        image = out.image(variant.name)
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (variant.width, variant.height))
        assert pictures.corners(image) == ORIGINAL
        assert (out.into / variant.filename).stat().st_size == variant.bytes


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_orientation_is_baked_in(pictures: Any, run: Callable[..., Any], name: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"tiffinfo": {274: orientation}} if name == "TIFF" else {"exif": exif}
    out = run(pictures.encoded(pictures.scene(900, 600), name, **options), "large=fit:300x300,sq=cover:64x64")
    seen = (600, 900) if orientation >= 5 else (900, 600)
    assert (out.made.width, out.made.height) == seen
    assert out.image().size == ((200, 300) if orientation >= 5 else (300, 200))
    assert pictures.corners(out.image()) == TURNED[orientation]
    assert pictures.corners(out.image("sq")) == TURNED[orientation]
    assert out.image().getexif() == {}


@needs_heif
def test_orientation_of_heic(pictures: Any, run: Callable[..., Any]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    # As bytes: pillow-heif then writes what turns a HEIC, its `irot`; EXIF alone does not (ISO 23008-12).
    out = run(pictures.encoded(pictures.scene(192, 128), "HEIF", exif=exif.tobytes()))
    assert (out.made.width, out.made.height) == (128, 192)
    assert pictures.corners(out.image()) == TURNED[6]


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_is_ignored(pictures: Any, run: Callable[..., Any], value: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    assert pictures.corners(run(pictures.encoded(pictures.scene(), "JPEG", exif=exif)).image()) == ORIGINAL


def test_broken_exif_is_ignored(pictures: Any, run: Callable[..., Any]) -> None:
    content = pictures.encoded(pictures.scene(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7fnonsense")
    assert pictures.corners(run(content).image()) == ORIGINAL


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (700, 1), (20000, 10), (10, 20000)])
def test_extreme_shapes(pictures: Any, run: Callable[..., Any], size: tuple[int, int]) -> None:
    recipe = "large=fit:1600x1600,thumb=fit:256x256,sq=cover:256x256,col=width:300"
    out = run(pictures.encoded(Image.new("RGB", size, "teal"), "PNG"), recipe)
    for variant in out.made.variants:
        assert 1 <= variant.width <= size[0]
        assert 1 <= variant.height <= size[1]
        assert out.image(variant.name).size == (variant.width, variant.height)


def test_a_transparent_strip_fits_into_webp(pictures: Any, run: Callable[..., Any]) -> None:
    out = run(pictures.encoded(Image.new("RGBA", (20, 20000), (0, 0, 0, 9)), "PNG"), "col=width:300")
    assert out.image("col").size == (16, 16383)


def test_never_enlarged(pictures: Any, run: Callable[..., Any]) -> None:
    out = run(pictures.encoded(pictures.scene(100, 60), "PNG"), "a=fit:500x500,b=width:500,c=cover:80x80")
    assert [(v.width, v.height) for v in out.made.variants] == [(100, 60), (100, 60), (60, 60)]


def test_cover_cuts_at_the_centre(pictures: Any, run: Callable[..., Any]) -> None:
    pixels = np.zeros((100, 300, 3), np.uint8)
    pixels[:, 100:200] = 255
    out = run(pictures.encoded(Image.fromarray(pixels), "PNG"), "sq=cover:50x50:png")
    assert out.image("sq").size == (50, 50)
    assert np.array(out.image("sq")).min() > 200  # the white third, only and whole


def test_the_order_of_the_recipe_does_not_matter(pictures: Any, run: Callable[..., Any]) -> None:
    out = run(
        pictures.encoded(pictures.scene(900, 600), "JPEG"),
        "s=fit:90x90,sq=cover:500x500,m=width:300:webp:60,l=fit:600x600:png,x=fit:50x50:avif",
    )
    assert [(v.name, v.filename, v.width, v.height) for v in out.made.variants] == [
        ("s", "s.jpg", 90, 60),
        ("sq", "sq.jpg", 500, 500),
        ("m", "m.webp", 300, 200),
        ("l", "l.png", 600, 400),
        ("x", "x.avif", 50, 33),
    ]
    for variant in out.made.variants:
        assert pictures.corners(out.image(variant.name)) == ORIGINAL


def test_jpeg_is_decoded_no_larger_than_needed(pictures: Any, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "x").write_bytes(pictures.encoded(pictures.scene(4000, 2000), "JPEG", exif=exif))
    decoded = decode.decode(tmp_path / "x", Limits(), lambda size: (size[0] // 5, size[1] // 5), lambda: None)
    assert decoded.picture.size == (1000, 500)  # a quarter; as the file lies
    assert (decoded.width, decoded.height, decoded.orientation) == (2000, 4000, 6)


def test_no_metadata_leaves(pictures: Any, run: Callable[..., Any]) -> None:
    exif = Image.Exif()
    exif[0x010E] = "SECRET-description"
    exif.get_ifd(0x8825)[1] = "N"
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 12.0)
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "SECRET-text")
    text.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta>SECRET</x:xmpmeta>")
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = pictures.scene(200, 100)
    transparent = image.convert("RGBA")
    transparent.putpixel((0, 0), (0, 0, 0, 0))
    common = {"exif": exif, "icc_profile": profile}
    recipe = "a=fit:200x200:jpeg,b=fit:200x200:webp,c=fit:200x200:png,d=fit:200x200:avif"
    for content in (
        pictures.encoded(image, "JPEG", comment=b"SECRET-comment", xmp=b"<x:xmpmeta>SECRET", **common),
        pictures.encoded(image, "PNG", pnginfo=text, **common),
        pictures.encoded(transparent, "PNG", pnginfo=text, **common),
        pictures.encoded(transparent, "WEBP", xmp=b"<x:xmpmeta>SECRET", **common),
        pictures.encoded(image, "AVIF", xmp=b"<x:xmpmeta>SECRET", **common),
        pictures.encoded(image.quantize(), "GIF", comment=b"SECRET-comment"),
        pictures.encoded(image, "TIFF", description="SECRET", **common),
    ):
        assert b"SECRET" in content
        out = run(content, recipe)
        for variant in out.made.variants:
            written = (out.into / variant.filename).read_bytes()
            left = out.image(variant.name)
            assert b"SECRET" not in written
            assert b"Exif" not in written
            assert b"ICC_PROFILE" not in written
            assert not {"exif", "xmp", "icc_profile", "comment", "XML:com.adobe.xmp"} & set(left.info)
            assert len(left.getexif()) == 0


def test_first_frame_of_an_animation(pictures: Any, run: Callable[..., Any]) -> None:
    frames = [pictures.scene(), Image.new("RGB", (120, 80), "white"), Image.new("RGB", (120, 80), "black")]
    for name in ("GIF", "WEBP", "PNG", "TIFF", "AVIF"):
        content = pictures.encoded(frames[0], name, save_all=True, append_images=frames[1:])
        out = run(content)
        assert pictures.corners(out.image()) == ORIGINAL
        assert out.made.format == name.lower()


def test_two_pictures_in_one_jpeg(pictures: Any, run: Callable[..., Any]) -> None:
    white = Image.new("RGB", (120, 80), "white")
    content = pictures.encoded(pictures.scene(), "MPO", save_all=True, append_images=[white])
    assert pictures.corners(run(content).image()) == ORIGINAL


def test_format_follows_transparency() -> None:
    auto, jpeg = parse_recipe("a=fit:1x1,b=fit:1x1:jpeg").variants
    assert output_format(auto, False).name == "jpeg"
    assert output_format(auto, True).name == "webp"
    assert output_format(jpeg, True).name == "jpeg"


def test_sync_and_steps(pictures: Any, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(pictures.encoded(pictures.scene(), "PNG"))
    steps = 0

    def check() -> None:
        nonlocal steps
        steps += 1

    recipe = parse_recipe("a=fit:100x100,b=fit:50x50")
    made = make_variants(tmp_path / "x", tmp_path, recipe, Limits(), check)  # sync is the default
    assert [v.filename for v in made.variants] == ["a.jpg", "b.jpg"]
    everything = steps
    assert everything >= 5

    class Stop(Exception):
        pass

    for stop_at in range(everything):
        into = tmp_path / f"stopped-{stop_at}"
        into.mkdir()
        left = stop_at

        def stop() -> None:
            nonlocal left
            if left == 0:
                raise Stop
            left -= 1

        with pytest.raises(Stop):
            make_variants(tmp_path / "x", into, recipe, Limits(), stop)
        assert list(into.iterdir()) == []

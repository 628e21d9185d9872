"""Profiles, ink, palettes, transparency and deep greys: as a person expects to see them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms


def _s15(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def _xyz(values: tuple[float, float, float]) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(map(_s15, values))


def _text(value: str) -> bytes:
    return b"desc\0\0\0\0" + struct.pack(">I", len(value) + 1) + value.encode() + b"\0" + b"\0" * 78


def _profile(space: bytes, tags: dict[bytes, bytes], kind: bytes = b"mntr") -> bytes:
    """Build an ICC profile, version 2."""
    tags = {
        b"desc": _text("made for a test"),
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": _xyz((0.9642, 1, 0.8249)),
        **tags,
    }
    table, body = b"", b""
    for name, data in tags.items():
        table += name + struct.pack(">II", 132 + 12 * len(tags) + len(body), len(data))
        body += data + b"\0" * (-len(data) % 4)
    pcs = b"Lab " if b"A2B0" in tags else b"XYZ "
    head = struct.pack(">I", 132 + len(table) + len(body)) + b"\0\0\0\0\x02\x40\0\0" + kind + space + pcs
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + b"\0" * 28
    head += _s15(0.9642) + _s15(1.0) + _s15(0.8249)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def _rgb_profile(red: Any, green: Any, blue: Any, gamma: float) -> bytes:
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    tags = {b"rXYZ": _xyz(red), b"gXYZ": _xyz(green), b"bXYZ": _xyz(blue)}
    return _profile(b"RGB ", tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve))


# Colorants adapted to D50, as in the profiles that cameras and phones embed.
P3 = _rgb_profile((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407), 2.2)
ADOBE = _rgb_profile((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457), 2.19921875)
GREY_LINEAR = _profile(b"GRAY", {b"kTRC": b"curv\0\0\0\0\0\0\0\0"})


def _cmyk_profile() -> bytes:
    """Ink that is nothing like ink: a table in which lightness falls with K alone and colours do not count."""
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + b"".join(map(_s15, (1, 0, 0, 0, 1, 0, 0, 0, 1)))
    lut += bytes(range(256)) * 4
    for corner in range(16):
        lut += bytes([0 if corner & 1 else 255, 128, 128])
    return _profile(b"CMYK", {b"A2B0": lut + bytes(range(256)) * 3}, b"prtr")


ADOBE_TO_XYZ = [[0.57667, 0.18556, 0.18823], [0.29734, 0.62736, 0.07529], [0.02703, 0.07069, 0.99134]]
P3_TO_XYZ = [[0.48657, 0.26567, 0.19822], [0.22897, 0.69174, 0.07929], [0.0, 0.04511, 1.04394]]
XYZ_TO_SRGB = [[3.2405, -1.5371, -0.4985], [-0.9693, 1.8760, 0.0416], [0.0556, -0.2040, 1.0572]]


def _by_definition(colour: tuple[int, int, int], to_xyz: Any, gamma: float) -> np.ndarray:
    """Numbers in a space -> light -> XYZ -> light of sRGB -> numbers in sRGB; white is D65 in all three."""
    light = np.clip(np.array(XYZ_TO_SRGB) @ np.array(to_xyz) @ (np.array(colour) / 255) ** gamma, 0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def test_display_p3_becomes_srgb(pictures: Any, run: Callable[..., Any]) -> None:
    image = Image.new("RGB", (60, 40), (180, 120, 90))
    expected = _by_definition((180, 120, 90), P3_TO_XYZ, 2.2)
    assert np.abs(expected - (180, 120, 90)).max() > 8  # leaving the profile aside would be seen
    for name in ("PNG", "JPEG", "WEBP", "TIFF", "AVIF"):
        options = {"lossless": True} if name == "WEBP" else {} if name in ("PNG", "TIFF") else {"quality": 100}
        pixel = run(pictures.encoded(image, name, icc_profile=P3, **options)).pixel()
        assert np.abs(pixel - expected).max() <= 5, (name, pixel, expected)


def test_adobe_rgb_becomes_srgb(pictures: Any, run: Callable[..., Any]) -> None:
    image = Image.new("RGB", (60, 40), (120, 180, 90))
    expected = _by_definition((120, 180, 90), ADOBE_TO_XYZ, 2.19921875)
    pixel = run(pictures.encoded(image, "PNG", icc_profile=ADOBE)).pixel()
    assert np.abs(pixel - expected).max() <= 6, (pixel, expected)


def test_srgb_profile_changes_nothing(pictures: Any, run: Callable[..., Any]) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = Image.new("RGB", (60, 40), (200, 100, 50))
    out = run(pictures.encoded(image, "PNG", icc_profile=profile), "large=fit:99x99:png")
    assert tuple(out.pixel()) == (200, 100, 50)


def test_profile_and_transparency(pictures: Any, run: Callable[..., Any]) -> None:
    image = Image.new("RGBA", (60, 40), (180, 120, 90, 128))
    out = run(pictures.encoded(image, "PNG", icc_profile=P3), "large=fit:99x99:png")
    expected = [*_by_definition((180, 120, 90), P3_TO_XYZ, 2.2), 128]
    assert np.abs(out.pixel() - expected).max() <= 5


def test_grey_profiles(pictures: Any, run: Callable[..., Any]) -> None:
    for image in (Image.new("L", (60, 40), 55), Image.new("LA", (60, 40), (55, 200))):
        out = run(pictures.encoded(image, "PNG", icc_profile=GREY_LINEAR), "large=fit:99x99:png")
        assert np.abs(out.pixel()[:3] - 128).max() <= 3  # 55/255 of the light is half way in sRGB
        grey = run(pictures.encoded(image, "PNG", icc_profile=P3), "large=fit:99x99:png").pixel()
        assert np.abs(grey[:3] - 55).max() <= 4  # an RGB profile does not colour a grey


@pytest.mark.parametrize(
    "profile",
    [b"not a profile", P3[:200], P3[:128] + b"\xff" * 400, _profile(b"RGB ", {}), _profile(b"GRAY", {}), GREY_LINEAR],
    ids=["text", "cut", "overwritten", "empty", "empty grey", "of another kind"],
)
def test_a_useless_profile_is_left_aside(pictures: Any, run: Callable[..., Any], profile: bytes) -> None:
    image = Image.new("RGB", (60, 40), (200, 100, 50))
    out = run(pictures.encoded(image, "PNG", icc_profile=profile), "large=fit:99x99:png")
    assert tuple(out.pixel()) == (200, 100, 50)
    ink = Image.new("CMYK", (60, 40), (0, 255, 255, 0))
    assert np.abs(run(pictures.encoded(ink, "JPEG", icc_profile=profile)).pixel() - (255, 0, 0)).max() <= 6


def test_cmyk_profile_is_used(pictures: Any, run: Callable[..., Any]) -> None:
    profile = _cmyk_profile()
    for name in ("JPEG", "TIFF"):
        ink = Image.new("CMYK", (60, 40), (0, 255, 255, 0))
        assert run(pictures.encoded(ink, name, icc_profile=profile)).pixel().min() > 240  # only K counts
        black = Image.new("CMYK", (60, 40), (0, 0, 0, 255))
        assert run(pictures.encoded(black, name, icc_profile=profile)).pixel().max() < 15


def _without_adobe(content: bytes) -> bytes:
    """Cut the APP14 segment out of a JPEG."""
    at = content.index(b"\xff\xee")
    return content[:at] + content[at + 2 + int.from_bytes(content[at + 2 : at + 4], "big") :]


INK = [
    ((0, 255, 255, 0), (255, 0, 0)),
    ((255, 0, 0, 0), (0, 255, 255)),
    ((0, 0, 0, 255), (0, 0, 0)),
    ((0, 0, 0, 0), (255, 255, 255)),
]


@pytest.mark.parametrize(("ink", "light"), INK)
def test_cmyk_without_a_profile(pictures: Any, run: Callable[..., Any], ink: Any, light: Any) -> None:
    adobe = pictures.encoded(Image.new("CMYK", (60, 40), ink), "JPEG", quality=95)
    assert b"Adobe" in adobe  # Pillow writes it inverted, as Adobe does
    plain = _without_adobe(
        pictures.encoded(Image.new("CMYK", (60, 40), tuple(255 - v for v in ink)), "JPEG", quality=95)
    )
    tiff = pictures.encoded(Image.new("CMYK", (60, 40), ink), "TIFF")
    for content in (adobe, plain, tiff):
        assert np.abs(run(content).pixel() - light).max() <= 6


def test_lab_tiff(pictures: Any, run: Callable[..., Any]) -> None:
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    lab = to_lab.apply(Image.new("RGB", (60, 40), (200, 100, 50)))
    assert np.abs(run(pictures.encoded(lab, "TIFF")).pixel() - (200, 100, 50)).max() <= 6


def test_palette(pictures: Any, run: Callable[..., Any]) -> None:
    for name in ("PNG", "GIF", "BMP", "TIFF"):
        out = run(pictures.encoded(pictures.scene().quantize(16), name))
        assert pictures.corners(out.image()) == ["red", "green", "blue", "yellow"]


def test_transparency_is_kept(pictures: Any, run: Callable[..., Any]) -> None:
    rgba = pictures.scene().convert("RGBA")
    rgba.paste((0, 0, 0, 0), (0, 0, 60, 40))
    palette = Image.new("P", (120, 80), 1)
    palette.putpalette([255, 0, 0, 30, 30, 220])
    palette.paste(0, (0, 0, 60, 40))
    grey = Image.new("LA", (120, 80), (200, 255))
    grey.paste((0, 0), (0, 0, 60, 40))
    bits = Image.new("1", (120, 80), 1)
    bits.paste(0, (0, 0, 60, 40))
    deep = Image.fromarray(np.pad(np.zeros((40, 60), np.uint16), ((0, 40), (0, 60)), constant_values=40000))
    rgb_key = pictures.scene()
    for content in (
        pictures.encoded(rgba, "PNG"),
        pictures.encoded(rgba, "WEBP", lossless=True),
        pictures.encoded(rgba, "TIFF"),
        pictures.encoded(rgba, "AVIF"),
        pictures.encoded(palette, "PNG", transparency=0),
        pictures.encoded(palette, "GIF", transparency=0),
        pictures.encoded(palette, "PNG", transparency=b"\0\xff"),
        pictures.encoded(grey, "PNG"),
        pictures.encoded(bits, "PNG", transparency=0),
        pictures.encoded(deep, "PNG", transparency=0),
        pictures.encoded(rgb_key, "PNG", transparency=(220, 30, 30)),
    ):
        out = run(content)
        assert [variant.filename for variant in out.made.variants] == ["large.webp", "thumb.webp"]
        assert out.image().mode == "RGBA"
        assert out.pixel(0.2, 0.2)[3] == 0
        assert out.pixel(0.8, 0.8)[3] == 255
        on_white = run(content, "large=fit:99x99:jpeg")
        assert on_white.pixel(0.2, 0.2).min() > 245


def test_alpha_that_hides_nothing_is_opaque(pictures: Any, run: Callable[..., Any]) -> None:
    for mode in ("RGBA", "LA"):
        out = run(pictures.encoded(pictures.scene().convert(mode), "PNG"))
        assert out.made.variants[0].format == "jpeg"


def test_hidden_colours_do_not_shine_through(pictures: Any, run: Callable[..., Any]) -> None:
    # White beside a transparent red: shrunk, the edge is white and half transparent, not pink.
    pixels = np.full((300, 300, 4), 255, np.uint8)
    pixels[:, 1::2] = (255, 0, 0, 0)
    out = run(pictures.encoded(Image.fromarray(pixels), "PNG"), "large=fit:75x75:png")
    pixel = out.pixel()
    assert pixel[:3].min() > 250
    assert 100 < pixel[3] < 155


def test_one_bit(pictures: Any, run: Callable[..., Any]) -> None:
    bits = Image.new("1", (200, 100), 0)
    bits.paste(1, (100, 0, 200, 100))
    for name in ("PNG", "TIFF", "BMP"):
        out = run(pictures.encoded(bits, name))
        assert out.pixel(0.2).max() < 10
        assert out.pixel(0.8).min() > 245


def _ramp(dtype: Any, values: list[float]) -> Image.Image:
    return Image.fromarray(np.repeat(np.repeat(np.array([values], dtype), 20, axis=0), 20, axis=1))


def _seen(out: Any, steps: int) -> list[int]:
    return [int(out.pixel((2 * step + 1) / (2 * steps))[0]) for step in range(steps)]


@pytest.mark.parametrize("name", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled(pictures: Any, run: Callable[..., Any], name: str) -> None:
    out = run(pictures.encoded(_ramp(np.uint16, [0, 16384, 32768, 49152, 65535]), name))
    assert np.abs(np.array(_seen(out, 5)) - (0, 64, 128, 191, 255)).max() <= 4


def test_16_bit_grey_in_other_orders(pictures: Any, run: Callable[..., Any]) -> None:
    ramp = _ramp(np.uint16, [0, 32768, 65535])
    big = Image.frombytes("I;16B", ramp.size, np.array(ramp).astype(">u2").tobytes())
    assert np.abs(np.array(_seen(run(pictures.encoded(big, "TIFF")), 3)) - (0, 128, 255)).max() <= 4
    zero_is_white = pictures.encoded(ramp, "TIFF", tiffinfo={262: 0})
    assert np.abs(np.array(_seen(run(zero_is_white), 3)) - (255, 127, 0)).max() <= 4


def test_32_bit_greys(pictures: Any, run: Callable[..., Any]) -> None:
    for values, expected in (
        ([0.0, 0.5, 1.0], (0, 128, 255)),
        ([0.0, 100.0, 255.0], (0, 100, 255)),
        ([-10.0, 990.0, 1990.0], (0, 128, 255)),
        ([0.2, 0.2, 0.2], (51, 51, 51)),
    ):
        out = run(pictures.encoded(_ramp(np.float32, values), "TIFF"))
        assert np.abs(np.array(_seen(out, 3)) - expected).max() <= 4
    out = run(pictures.encoded(_ramp(np.int32, [0, 32768, 65535]), "TIFF"))
    assert np.abs(np.array(_seen(out, 3)) - (0, 128, 255)).max() <= 4
    odd = run(pictures.encoded(_ramp(np.float32, [float("nan"), float("inf"), 0.5]), "TIFF"))
    assert odd.image().size == (60, 20)


def _deep_png(pixel: tuple[int, ...], colour_type: int) -> bytes:
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + struct.pack(f">{len(pixel)}H", *pixel) * 40) * 30
    head = struct.pack(">IIBBBBB", 40, 30, 16, colour_type, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_16_bit_colours(run: Callable[..., Any]) -> None:
    recipe = "large=fit:99x99:png"
    assert np.abs(run(_deep_png((51400, 25700, 12850), 2), recipe).pixel() - (200, 100, 50)).max() <= 1
    assert np.abs(run(_deep_png((51400, 25700, 12850, 32896), 6), recipe).pixel() - (200, 100, 50, 128)).max() <= 1
    assert np.abs(run(_deep_png((51400, 32896), 4), recipe).pixel() - (200, 200, 200, 128)).max() <= 1

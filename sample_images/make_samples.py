"""Make every file in this folder: `python sample_images/make_samples.py [OUT_DIR]`.

Owns file formats and metadata (EXIF, colour profiles, 16-bit PNG, hostile files); what is painted lives in
the modules beside it. The same versions of Pillow and numpy make the same bytes. Uses no network and no clock.
"""

from __future__ import annotations

import struct
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import nights
import numpy as np
import photos
import pieces
import small
from PIL import Image, ImageCms

SVG = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 300 200">
  <script>document.title = "a script inside a picture ran"</script>
  <rect width="300" height="200" fill="#9fd0ee"/><circle cx="230" cy="50" r="24" fill="#ffd94a"/>
  <path d="M0 170 90 60l60 70 40-40 110 80v30H0z" fill="#35506e" onclick="alert('clicked')"/>
  <image href="http://tracker.invalid/pixel.png" width="1" height="1"/>
</svg>
"""
EPS = """%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 300 200
%%EndComments
0.62 0.82 0.93 setrgbcolor 0 0 300 200 rectfill
0.21 0.31 0.43 setrgbcolor newpath 0 30 moveto 90 140 lineto 150 70 lineto 190 110 lineto 300 30 lineto closepath fill
1.00 0.85 0.29 setrgbcolor newpath 230 150 24 0 360 arc fill
showpage
%%EOF
"""
HTML = """<!doctype html>
<title>Not a picture</title>
<h1>This is a web page that calls itself .jpg</h1>
<script>document.body.append(" and its script ran")</script>
"""


def rng(seed: int) -> np.random.Generator:
    """Return a fresh generator: a picture does not change when another one does."""
    return np.random.default_rng(seed)


def exif(text: str, when: str, orientation: int = 1, place: tuple[float, float] | None = None) -> Image.Exif:
    """Build what a camera writes; `when` is "YYYY:MM:DD HH:MM:SS", `place` is degrees north and east."""
    e = Image.Exif()
    e[0x010E], e[0x010F], e[0x0110], e[0x0112] = text, "Sample", "Sample Camera", orientation
    e[0x011A], e[0x011B], e[0x0128], e[0x0131], e[0x0132] = 72.0, 72.0, 2, "make_samples.py", when
    e.get_ifd(0x8769).update(
        {
            0x829A: 1 / 250,
            0x829D: 8.0,
            0x8827: 100,
            0x9000: b"0232",
            0x9003: when,
            0x9004: when,
            0x920A: 35.0,
            0xA434: "Sample Lens 35mm",
        }
    )
    if place:
        e.get_ifd(0x8825).update(
            {
                0: b"\x02\x03\x00\x00",
                1: "NS"[place[0] < 0],
                2: _degrees(place[0]),
                3: "EW"[place[1] < 0],
                4: _degrees(place[1]),
            }
        )
    return e


def _degrees(value: float) -> tuple[float, float, float]:
    minutes = abs(value) % 1 * 60
    return (float(int(abs(value))), float(int(minutes)), round(minutes % 1 * 60, 2))


def display_p3() -> bytes:
    """Build a Display P3 profile: ICC.1:2010 (version 4.3), a matrix and the sRGB curve.

    The primaries are those of SMPTE EG 432-1 adapted from D65 to D50 by Bradford, as ICC asks for.
    """

    def fixed(*values: float) -> bytes:
        return b"".join(struct.pack(">i", round(v * 65536)) for v in values)

    def text(s: str) -> bytes:
        return b"mluc" + struct.pack(">IIIHHII", 0, 1, 12, 0x656E, 0x5553, 2 * len(s), 28) + s.encode("utf-16-be")

    curve = b"para" + struct.pack(">IHH", 0, 3, 0) + fixed(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    adapt = (1.047882, 0.022919, -0.050201, 0.029587, 0.990479, -0.017059, -0.009232, 0.015076, 0.751678)
    tags = {
        b"desc": text("Display P3"),
        b"cprt": text("No copyright, use freely"),
        b"wtpt": b"XYZ \0\0\0\0" + fixed(0.9642, 1.0, 0.8249),
        b"rXYZ": b"XYZ \0\0\0\0" + fixed(0.515121, 0.241196, -0.001053),
        b"gXYZ": b"XYZ \0\0\0\0" + fixed(0.291977, 0.692245, 0.041885),
        b"bXYZ": b"XYZ \0\0\0\0" + fixed(0.157104, 0.066574, 0.784073),
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
        b"chad": b"sf32\0\0\0\0" + fixed(*adapt),
    }
    table, body, places = b"", b"", {}
    start = 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        if data not in places:  # the three curves are stored once
            places[data] = start + len(body)
            body += data + b"\0" * (-len(data) % 4)
        table += name + struct.pack(">II", places[data], len(data))
    head = struct.pack(">I4sI4s4s4s", start + len(body), b"\0" * 4, 0x04300000, b"mntr", b"RGB ", b"XYZ ")
    head += struct.pack(">6H4s4sIIIQI", 2026, 1, 1, 0, 0, 0, b"acsp", b"\0" * 4, 0, 0, 0, 0, 0)
    head += fixed(0.9642, 1.0, 0.8249)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def write_png16(path: Path, a: np.ndarray) -> None:
    """Write uint16 grey (h, w) or RGB (h, w, 3) as PNG; Pillow writes no 16-bit RGB."""
    h, w = a.shape[:2]
    colour = 0 if a.ndim == 2 else 2
    step = 2 if colour == 0 else 6
    raw = np.frombuffer(a.astype(">u2").tobytes(), np.uint8).reshape(h, w * step).astype(np.int16)
    up = np.vstack([np.zeros((1, w * step), np.int16), raw[:-1]])
    left = np.hstack([np.zeros((h, step), np.int16), raw[:, :-step]])
    corner = np.hstack([np.zeros((h, step), np.int16), up[:, :-step]])
    p = left + up - corner
    pa, pb, pc = np.abs(p - left), np.abs(p - up), np.abs(p - corner)
    paeth = np.where((pa <= pb) & (pa <= pc), left, np.where(pb <= pc, up, corner))
    rows = np.hstack([np.full((h, 1), 4), (raw - paeth) % 256]).astype(np.uint8)
    header = struct.pack(">IIBBBBB", w, h, 16, colour, 0, 0, 0)
    path.write_bytes(_png(header, zlib.compress(rows.tobytes(), 9)))


def _png(header: bytes, data: bytes) -> bytes:
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(d)) + name + d + struct.pack(">I", zlib.crc32(name + d)) for name, d in chunks
    )


def bomb(side: int = 16384) -> bytes:
    """Return a valid one-bit PNG of side x side pixels: a few kilobytes that unfold to 268 million pixels."""
    squeeze = zlib.compressobj(9)
    row = b"\0" + b"\x55" * (side // 8)
    data = b"".join(squeeze.compress(row) for _ in range(side)) + squeeze.flush()
    return _png(struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0), data)


def to_cmyk(im: Image.Image) -> Image.Image:
    """Separate RGB into inks, with most of the common grey taken over by black, as for print."""
    rgb = np.asarray(im, np.float32) / 255
    black = 0.75 * (1 - rgb.max(-1))
    inks = 1 - rgb / (1 - black)[..., None]
    planes = np.concatenate([inks, black[..., None]], -1)
    return Image.fromarray((np.clip(planes, 0, 1) * 255 + 0.5).astype(np.uint8), mode="CMYK")


def photographs(out: Path) -> None:
    """Write the JPEG photographs."""
    camera = {"optimize": True, "subsampling": "4:2:0", "dpi": (72, 72)}
    im = photos.mountain_lake(4000, 3000, rng(7))
    im.save(
        out / "mountain-lake.jpg", quality=84, exif=exif("Evening at a mountain lake", "2025:09:14 19:42:10"), **camera
    )
    im = photos.sea(4000, 3000, rng(7))
    gps = exif("Lighthouse and sail", "2025:07:02 11:05:31", place=(40.5125, -30.2575))
    im.save(out / "lighthouse-with-gps.jpg", quality=72, exif=gps, **camera)
    im = photos.forest(3000, 4000, rng(7)).transpose(Image.Transpose.ROTATE_90)
    turned = exif("Forest in the morning", "2025:10:21 07:58:03", orientation=6)
    im.save(out / "forest-orientation-6.jpg", quality=82, exif=turned, **camera)
    im = nights.milky_way(3000, 4000, rng(7)).transpose(Image.Transpose.ROTATE_270)
    turned = exif("Milky Way over the dunes", "2025:08:23 23:31:47", orientation=8)
    im.save(out / "milky-way-orientation-8.jpg", quality=84, exif=turned, **camera)
    im = photos.panorama(9000, 1200, rng(7))
    im.save(out / "panorama.jpg", quality=70, exif=exif("A ring of mountains", "2025:06:18 09:12:55"), **camera)
    nights.city(1920, 1280, rng(7)).save(out / "city.webp", quality=80, method=6)
    nights.aurora(1920, 1280, rng(7)).save(out / "aurora.avif", quality=62, speed=6, max_threads=1)


def colours(out: Path) -> None:
    """Write the files whose colours need care: CMYK, Display P3, 16 bits a channel."""
    to_cmyk(pieces.flower(1600, 1200, rng(7))).save(out / "flower-cmyk.jpg", quality=82, optimize=True)
    profile = display_p3()
    im = pieces.rose_window(1600, rng(7))
    im.save(out / "rose-window-display-p3.jpg", quality=80, optimize=True, icc_profile=profile)
    write_png16(out / "moon-16-bit-grey.png", small.moon(800, rng(7)))
    write_png16(out / "planet-16-bit-rgb.png", small.planet(640, 480, rng(7)))


def drawings(out: Path) -> None:
    """Write transparency, animation, the old formats, the tiny image."""
    pieces.balloon(1200).save(out / "balloon-transparent.png", optimize=True)
    small.fish().save(out / "fish-palette-transparent.png", optimize=True, transparency=0)
    frames = small.waves(480, 270, 24, rng(7))
    # One palette for all frames and no dithering: nothing flickers, and still parts compress away.
    joined = Image.new("RGB", (480, 270 * 3))
    for k in range(3):
        joined.paste(frames[k * 8], (0, 270 * k))
    palette = joined.quantize(96, method=Image.Quantize.MEDIANCUT)
    flat = [f.quantize(palette=palette, dither=Image.Dither.NONE) for f in frames]
    flat[0].save(out / "waves-animated.gif", save_all=True, append_images=flat[1:], duration=80, loop=0, optimize=True)
    small.dunes(300, 200, rng(7)).save(out / "dunes.bmp")
    small.topographic_map(640, 480, rng(7)).save(out / "island-map.tiff", compression="tiff_lzw")
    small.icon().save(out / "tiny-16x16.png", optimize=True)


def hostile(out: Path) -> None:
    """Write the files that a service must survive; needs the photographs."""
    bad = out / "hostile"
    bad.mkdir(exist_ok=True)
    # A smaller copy shows the cut as well as 12 megapixels would, and keeps the folder small.
    whole = Image.open(out / "mountain-lake.jpg").resize((1600, 1200), Image.Resampling.LANCZOS)
    whole.save(bad / "truncated.jpg", quality=80)
    data = (bad / "truncated.jpg").read_bytes()
    (bad / "truncated.jpg").write_bytes(data[: len(data) * 2 // 5])
    small.topographic_map(320, 240, rng(7)).save(bad / "png-named.jpg", format="PNG", optimize=True)
    (bad / "web-page-named.jpg").write_text(HTML, encoding="utf-8")
    (bad / "bomb.png").write_bytes(bomb())
    (bad / "drawing.svg").write_text(SVG, encoding="utf-8")
    (bad / "drawing.eps").write_text(EPS, encoding="ascii")


def main(out: Path) -> None:
    """Make everything under `out` and say what was made."""
    out.mkdir(parents=True, exist_ok=True)
    parts: tuple[Callable[[Path], None], ...] = (photographs, colours, drawings, hostile)
    for part in parts:
        began = time.monotonic()
        part(out)
        print(f"{part.__name__}: {time.monotonic() - began:.1f} s")
    ImageCms.ImageCmsProfile(ImageCms.core.profile_frombytes(display_p3()))
    made = [p for p in sorted(out.rglob("*")) if p.is_file() and p.suffix not in (".py", ".md", ".pyc")]
    for p in made:
        print(f"{p.stat().st_size:>9,}  {p.relative_to(out)}")
    print(f"{sum(p.stat().st_size for p in made):>9,}  in all")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent)

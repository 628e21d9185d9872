"""Small honest files of every kind to mutate, and the hostile ones that are small. Made by real encoders, each time the
same bytes."""

from __future__ import annotations

import functools
import io
import random
from pathlib import Path

from PIL import Image, ImageCms

from hostile import HOSTILE, encoded, gradient, patched
from imgpool.imaging import decode
from imgpool.imaging.formats import HEIF_AVAILABLE
from pictures import photo
from serving import SAMPLES

CORPUS = Path(__file__).parent / "corpus"
PICTURES = sorted(path for path in SAMPLES.rglob("*") if path.is_file() and path.suffix not in (".py", ".md", ".pyc"))
_SMALL = 40_000  # bytes: of larger files most mutations hit pixels, and each takes its time


@functools.cache
def seeds() -> tuple[bytes, ...]:
    """Every file to begin from: honest, hostile and of the corpus."""
    hostile = (each.make() for each in HOSTILE.values())
    kept = (path.read_bytes() for path in sorted(CORPUS.iterdir()) if path.suffix != ".md")
    return (*honest(), *(content for content in (*hostile, *kept) if 0 < len(content) < _SMALL))


def samples() -> tuple[bytes, ...]:
    """The sample images, large as they are: some files a second instead of hundreds."""
    return tuple(path.read_bytes() for path in PICTURES)


def honest() -> list[bytes]:
    """Files as cameras and programs write them."""
    decode.register()
    picture = gradient()
    noise = Image.frombytes("RGB", (40, 30), random.Random(7).randbytes(40 * 30 * 3))
    clear = picture.copy()
    clear.putalpha(Image.linear_gradient("L").resize(picture.size))
    frames = [Image.new("RGB", (24, 18), (shade * 60, 80, 20)) for shade in range(4)]
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile = profile[:24] + bytes(12) + profile[36:]  # the time of its making
    about = {"exif": exif.tobytes(), "icc_profile": profile}

    def several(kind: str) -> bytes:
        """Several frames in one file. Copies: Pillow leaves one encoder's settings on a picture for the next."""
        first, *rest = (frame.copy() for frame in frames)
        return encoded(first, kind, save_all=True, append_images=rest)

    found = [
        photo(64, 48),
        encoded(noise, "JPEG", progressive=True, **about),
        encoded(picture.convert("CMYK"), "JPEG"),
        encoded(picture.convert("L"), "JPEG", restart_marker_blocks=1, comment=b"words"),
        several("MPO"),
        encoded(noise, "PNG", **about),
        encoded(clear, "PNG"),
        encoded(picture.convert("P"), "PNG", bits=4, transparency=3),
        encoded(Image.new("I;16", (30, 20), 30_000), "PNG"),
        encoded(Image.new("1", (30, 20), 1), "PNG"),
        several("PNG"),
        encoded(noise, "WEBP", quality=60, **about),
        encoded(clear, "WEBP", lossless=True),
        several("WEBP"),
        encoded(picture.convert("P"), "GIF", transparency=2),
        several("GIF"),
        encoded(picture, "AVIF", **about),
        encoded(clear, "AVIF"),
        _timeless(several("AVIF")),
        *(encoded(noise, "TIFF", compression=each, **about) for each in ("raw", "tiff_lzw", "jpeg", "packbits")),
        encoded(picture.convert("1"), "TIFF", compression="group4"),
        encoded(Image.new("F", (30, 20), 0.5), "TIFF", big_tiff=True),
        several("TIFF"),
        encoded(picture, "BMP"),
        encoded(picture.convert("P"), "BMP"),
    ]
    if HEIF_AVAILABLE:
        found += [encoded(picture, "HEIF", **about), encoded(clear, "HEIF")]
    return found


def _timeless(film: bytes) -> bytes:
    """Take the times of its making out of an AVIF of several frames."""
    for kind in (b"mvhd", b"tkhd", b"mdhd"):
        film = patched(film, kind, 8, bytes(16))
    return film


def open_image(content: bytes) -> Image.Image:
    """Load a file that the pipeline wrote."""
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        return image

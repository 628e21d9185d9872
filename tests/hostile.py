"""Hostile images, each made on the spot by a few lines: bombs, liars, polyglots and files in disguise.

`HOSTILE` names them all and says what each must come to. None is kept as a file: a bomb of gigabytes is some kilobytes
of repetition, and the lines that repeat are the better description.
"""

from __future__ import annotations

import functools
import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from pictures import photo


@dataclass(frozen=True)
class Hostile:
    """`ends`: the HTTP status of its refusal, "done", or what its reason says when it is taken and fails."""

    make: Callable[[], bytes]
    ends: int | str


# Parts of files


def chunk(kind: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    """A PNG chunk; `length` is what it says of itself."""
    size = len(data) if length is None else length
    return struct.pack(">I", size) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def box(kind: bytes, payload: bytes = b"") -> bytes:
    """A box of an ISO file (AVIF, HEIC)."""
    return struct.pack(">I", 8 + len(payload)) + kind + payload


def riff(kind: bytes, payload: bytes) -> bytes:
    """A chunk of a RIFF file (WebP)."""
    return kind + struct.pack("<I", len(payload)) + payload + b"\0" * (len(payload) % 2)


def segment(marker: int, payload: bytes = b"") -> bytes:
    """A JPEG segment."""
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


@functools.cache
def inflating(mebibytes: int) -> bytes:
    """A zlib stream of zeros that unfolds to so much: a thousandth of its size."""
    packer = zlib.compressobj(9)
    head = packer.compress(b"\0" * 2**20) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(b"\0" * 2**20) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + again * (mebibytes - 1) + packer.flush()


PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


def png(
    *before: bytes, side: tuple[int, int] = (16, 16), data: bytes | None = None, after: tuple[bytes, ...] = ()
) -> bytes:
    """A grey PNG with chunks of one's choice before its pixels and after them."""
    width, height = side
    pixels = zlib.compress((b"\0" + b"\x80" * width) * height) if data is None else data
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return PNG_MAGIC + b"".join((head, *before, chunk(b"IDAT", pixels), *after, chunk(b"IEND")))


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    """A file of an honest encoder."""
    with io.BytesIO() as file:
        picture.save(file, kind, **options)
        return file.getvalue()


def gradient(side: tuple[int, int] = (64, 48)) -> Image.Image:
    """Something to see, in RGB."""
    ramp = Image.linear_gradient("L").resize(side)
    return Image.merge("RGB", (ramp, ramp.transpose(Image.Transpose.FLIP_TOP_BOTTOM), ramp))


def gif(screen: tuple[int, int], *blocks: bytes) -> bytes:
    """A GIF with a black and white palette."""
    return b"GIF89a" + struct.pack("<HHBBB", *screen, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff" + b"".join(blocks) + b";"


def gif_frame(left: int, top: int, width: int, height: int) -> bytes:
    """A frame whose pixels end at once."""
    return b"," + struct.pack("<HHHHB", left, top, width, height, 0) + b"\2\2\x44\1\0"


def tiff(entries: list[tuple[int, int, int, int]], rest: bytes = b"", following: int = 0) -> bytes:
    """A little-endian TIFF of one directory: (tag, type, count, value or offset)."""
    table = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + table + struct.pack("<I", following) + rest


def tiff_grey(width: int, height: int, *more: tuple[int, int, int, int]) -> list[tuple[int, int, int, int]]:
    """The entries of an 8-bit grey picture; `more` replaces those of the same tag."""
    entries = {256: (4, 1, width), 257: (4, 1, height), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1), 277: (3, 1, 1)}
    entries |= {tag: (kind, count, value) for tag, kind, count, value in more}
    return [(tag, *fields) for tag, fields in sorted(entries.items())]


def jpeg_scans(side: int, scans: int) -> bytes:
    """A progressive JPEG of one grey whose last scan is repeated: each is a pass over the whole picture."""
    content = encoded(Image.new("L", (side, side), 90), "JPEG", progressive=True)
    last = content.rindex(b"\xff\xda")
    return content[:last] + content[last:-2] * scans + b"\xff\xd9"


def jpeg_empty_scans(side: int, rounds: int) -> bytes:
    """A JPEG, not progressive, that scans each of its three colours so many times and has no pixel in any of them."""
    scan = [segment(0xDA, bytes((1, colour, 0, 0, 63, 0))) + b"\0" for colour in (1, 2, 3)]
    one_code = b"\1" + b"\0" * 16
    head = (
        segment(0xDB, b"\0" + b"\1" * 64),
        segment(0xC0, struct.pack(">BHHB", 8, side, side, 3) + b"\1\x11\0\2\x11\0\3\x11\0"),
        segment(0xC4, b"\0" + one_code) + segment(0xC4, b"\x10" + one_code),
    )
    return b"\xff\xd8" + b"".join(head) + b"".join(scan) * rounds + b"\xff\xd9"


def exif_of_greedy_tags(mebibytes: int) -> bytes:
    """EXIF of 60,000 tags, the value of each of which is all of it."""
    size = mebibytes * 2**20
    tags = b"".join(struct.pack("<HHII", 1000 + tag, 7, size - 16, 8) for tag in range(60_000))
    return (b"II*\0\x08\0\0\0" + struct.pack("<H", 60_000) + tags).ljust(size, b"\0")


def patched(content: bytes, what: bytes, at: int, new: bytes) -> bytes:
    """`content` with `new` written `at` bytes after the first `what`."""
    place = content.index(what) + at
    return content[:place] + new + content[place + len(new) :]


def webp_claims(canvas: tuple[int, int], picture: tuple[int, int]) -> bytes:
    """A WebP whose canvas and picture are of different sizes."""
    image = encoded(gradient(picture), "WEBP", lossless=True)[12:]
    width, height = (side - 1 for side in canvas)
    extended = riff(b"VP8X", b"\0\0\0\0" + width.to_bytes(3, "little") + height.to_bytes(3, "little"))
    return b"RIFF" + struct.pack("<I", 4 + len(extended) + len(image)) + b"WEBP" + extended + image


def avif_claims(claimed: tuple[int, int], picture: tuple[int, int]) -> bytes:
    """An AVIF whose table of contents gives another size than its picture."""
    return patched(encoded(gradient(picture), "AVIF"), b"ispe", 8, struct.pack(">II", *claimed))


def webp_with(kind: bytes, flag: int, payload: bytes) -> bytes:
    """A WebP with one more chunk."""
    image = encoded(gradient((16, 16)), "WEBP", lossless=True)[12:]
    extended = riff(b"VP8X", bytes((flag, 0, 0, 0)) + b"\x0f\0\0\x0f\0\0") + image + riff(kind, payload)
    return b"RIFF" + struct.pack("<I", 4 + len(extended)) + b"WEBP" + extended


def bmp(width: int, height: int, compression: int, pixels: bytes, bits: int = 8) -> bytes:
    """A BMP with a palette of 256 greys."""
    palette = b"".join(bytes((grey, grey, grey, 0)) for grey in range(256))
    at = 14 + 40 + len(palette)
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(pixels), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", at + len(pixels), 0, 0, at) + head + palette + pixels


def _zip_of_a_script() -> bytes:
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(zipfile.ZipInfo("run.js"), "alert(1)")
        return file.getvalue()


def _tiff_loop() -> bytes:
    """Two directories, each of which names the other as its successor."""
    entries = tiff_grey(16, 16, (273, 4, 1, 400), (278, 4, 1, 16), (279, 4, 1, 256))
    second = 8 + 2 + 12 * len(entries) + 4
    table = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return (tiff(entries, b"", second) + table + struct.pack("<I", 8)).ljust(400, b"\0") + b"\x80" * 256


def _tiff_packbits_bomb() -> bytes:
    """A strip of 40,000 x 2,400 pixels out of 1.5 MB, and it says it is one of four million."""
    runs = b"\x81\0" * 750_000
    entries = tiff_grey(40_000, 2_400, (259, 3, 1, 32773), (273, 4, 1, 200), (278, 4, 1, 2_400), (279, 4, 1, len(runs)))
    return tiff(entries).ljust(200, b"\0") + runs


def _tiff_greedy_tags() -> bytes:
    """65,535 tags, the value of each of which is the whole file: 65 GB, if all are read."""
    return tiff([(500 + tag, 7, 1_000_000, 8) for tag in range(65_000)]).ljust(1_100_000, b"\0")


def _gif_of_comments(count: int) -> bytes:
    return gif((16, 16), b"!\xfe" + b"\1x" * count + b"\0", gif_frame(0, 0, 16, 16))


CUT, DAMAGED, LARGE = "cut short", "cannot be read", "pixels"
HOSTILE: dict[str, Hostile] = {
    # PNG
    "png of 268 million pixels": Hostile(lambda: encoded(Image.new("1", (16384, 16384)), "PNG"), 422),
    "png text of 2 GB": Hostile(lambda: png(chunk(b"zTXt", b"k\0\0" + inflating(2048))), DAMAGED),
    "png text of 2 GB after the pixels": Hostile(
        lambda: png(after=(chunk(b"zTXt", b"k\0\0" + inflating(2048)),)), DAMAGED
    ),
    "png international text of 2 GB": Hostile(lambda: png(chunk(b"iTXt", b"k\0\1\0\0\0" + inflating(2048))), DAMAGED),
    "png of 10,000 texts of 1 MB": Hostile(lambda: png(chunk(b"zTXt", b"k\0\0" + inflating(1)) * 10_000), "texts"),
    "png profile of 2 GB": Hostile(lambda: png(chunk(b"iCCP", b"p\0\0" + inflating(2048))), DAMAGED),
    "png profile of 2 MB": Hostile(lambda: png(chunk(b"iCCP", b"p\0\0" + inflating(2))), "done"),
    "png of 1,000 profiles of 4 MB": Hostile(lambda: png(chunk(b"iCCP", b"p\0\0" + inflating(4)) * 1000), "profiles"),
    "png exif of greedy tags": Hostile(lambda: png(chunk(b"eXIf", exif_of_greedy_tags(40))), "done"),
    "png pixels of 2 GB": Hostile(lambda: png(data=inflating(2048)), "done"),
    "png of a million chunks": Hostile(lambda: png(chunk(b"juNk") * 1_000_000), "chunks"),
    "png of a million chunks after the pixels": Hostile(lambda: png(after=(chunk(b"juNk") * 1_000_000,)), "chunks"),
    "png of two thousand million frames": Hostile(
        lambda: png(chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))), "frames"
    ),
    "png chunk of 2 GB that is not there": Hostile(lambda: png(chunk(b"iCCP", b"p\0\0x", 2**31 - 1)), DAMAGED),
    "png without width": Hostile(lambda: png(side=(0, 16), data=zlib.compress(b"\0" * 16)), DAMAGED),
    "html in a png's text": Hostile(lambda: png(chunk(b"tEXt", b"Comment\0<script>alert(1)</script>")), "done"),
    # GIF
    "gif screen of 4,295 million pixels": Hostile(lambda: gif((65535, 65535), gif_frame(0, 0, 1, 1)), 422),
    "gif frame larger than its screen": Hostile(lambda: gif((10, 10), gif_frame(0, 0, 65535, 65535)), LARGE),
    "gif frame far outside its screen": Hostile(lambda: gif((10, 10), gif_frame(65000, 65000, 500, 500)), LARGE),
    "gif of 100,000 frames": Hostile(lambda: gif((16, 16), gif_frame(0, 0, 16, 16) * 100_000), "frames"),
    "gif of 10 million comment blocks": Hostile(lambda: _gif_of_comments(10_000_000), "blocks"),
    "gif and javascript": Hostile(lambda: b"GIF89a/*" + b"\0" * 300 + b"*/=1;alert(1)//;", DAMAGED),
    # JPEG
    "jpeg of 2,000 scans": Hostile(lambda: jpeg_scans(9000, 2000), "scans"),
    "jpeg of 6,000 empty scans": Hostile(lambda: jpeg_empty_scans(9000, 2000), "scans"),
    "jpeg of a million segments": Hostile(
        lambda: b"\xff\xd8" + segment(0xFE, b"x") * 1_000_000 + photo(64, 48)[2:], "segments"
    ),
    "jpeg of fill bytes": Hostile(lambda: b"\xff\xd8" + b"\xff" * 10_000_000 + photo(64, 48)[2:], "segments"),
    "jpeg of fill bytes after its frame": Hostile(
        lambda: photo(64, 48).replace(b"\xff\xc4", b"\xff" * 10_000_000 + b"\xc4", 1), "segments"
    ),
    "jpeg without a picture": Hostile(lambda: b"\xff\xd8" + segment(0xE0, b"JFIF\0") + b"\0" * 2_000_000, CUT),
    "jpeg and zip": Hostile(lambda: photo(64, 48) + _zip_of_a_script(), "done"),
    "jpeg and php": Hostile(lambda: b"\xff\xd8" + segment(0xFE, b"<?php evil() ?>") + photo(64, 48)[2:], "done"),
    "jpeg and pdf": Hostile(lambda: b"\xff\xd8" + segment(0xFE, b"%PDF-1.7\n1 0 obj") + photo(64, 48)[2:], "done"),
    "jpeg of 4,295 million pixels": Hostile(lambda: patched(photo(64, 48), b"\xff\xc0", 5, b"\xff\xff\xff\xff"), 422),
    # TIFF
    "tiff whose directories go round": Hostile(_tiff_loop, "done"),
    "tiff whose directory follows itself": Hostile(lambda: tiff(tiff_grey(16, 16), following=8), DAMAGED),
    "tiff of four thousand million strips": Hostile(
        lambda: tiff(tiff_grey(16, 16, (273, 4, 2**32 - 1, 8), (278, 4, 1, 1), (279, 4, 2**32 - 1, 8))), DAMAGED
    ),
    "tiff tag of 4 GB": Hostile(lambda: tiff(tiff_grey(16, 16, (700, 1, 2**32 - 1, 8), (273, 4, 1, 8))), CUT),
    "tiff tags that all want the same": Hostile(_tiff_greedy_tags, DAMAGED),
    "tiff tiles of 1,000 million pixels": Hostile(
        lambda: tiff(
            tiff_grey(
                16, 16, (259, 3, 1, 8), (322, 4, 1, 32_000), (323, 4, 1, 32_000), (324, 4, 1, 8), (325, 4, 1, 99)
            ),
            b"\0" * 200,
        ),
        "tiles of 32000 x 32000",
    ),
    "tiff of short runs": Hostile(_tiff_packbits_bomb, "done"),
    "tiff with a hundred thousand samples": Hostile(
        lambda: tiff(tiff_grey(16, 16, (277, 3, 1, 65535), (273, 4, 1, 8), (279, 4, 1, 256))), DAMAGED
    ),
    # WebP and AVIF
    "webp exif of greedy tags": Hostile(lambda: webp_with(b"EXIF", 8, exif_of_greedy_tags(40)), "done"),
    "webp canvas of 268 million pixels": Hostile(lambda: webp_claims((16384, 16384), (16, 16)), 422),
    "webp picture larger than its canvas": Hostile(lambda: webp_claims((16, 16), (4000, 3000)), DAMAGED),
    "webp picture smaller than its canvas": Hostile(lambda: webp_claims((4000, 3000), (16, 16)), DAMAGED),
    "avif that claims 4,295 million pixels": Hostile(lambda: avif_claims((65535, 65535), (16, 16)), 422),
    "avif that claims more than it has": Hostile(lambda: avif_claims((4000, 3000), (16, 16)), "done"),
    "avif that claims less than it has": Hostile(lambda: avif_claims((16, 16), (2000, 1500)), "done"),
    # BMP
    "bmp runs of one pixel": Hostile(lambda: bmp(5000, 5000, 1, b"\1\x80" * 200_000 + b"\0\1"), DAMAGED),
    "bmp runs that leave the picture": Hostile(lambda: bmp(16, 16, 1, b"\0\2\xff\xff" * 50_000 + b"\0\1"), "done"),
    "bmp of four thousand million pixels": Hostile(lambda: bmp(2**31 - 1, -(2**31), 1, b"\0\1"), 422),
    # No picture at all
    "nothing": Hostile(lambda: b"", 400),
    "zeros": Hostile(lambda: b"\0" * 5000, 415),
    "pdf and jpeg": Hostile(lambda: b"%PDF-1.7\n" + photo(64, 48), 415),
    "svg": Hostile(lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>', 415),
    "eps": Hostile(lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\n", 415),
    "dos eps": Hostile(lambda: b"\xc5\xd0\xd3\xc6" + struct.pack("<II", 32, 20) + b"\0" * 20 + b"%!PS", 415),
    "html": Hostile(lambda: b"<!doctype html><script>alert(1)</script>", 415),
    "photoshop": Hostile(lambda: b"8BPS\0\1" + b"\0" * 300, 415),
    "windows icon": Hostile(lambda: encoded(gradient((32, 32)), "ICO"), 415),
    "jpeg 2000": Hostile(lambda: b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0" * 300, 415),
    "film": Hostile(lambda: box(b"ftyp", b"isom\0\0\2\0isomavif") + box(b"mdat", b"\0" * 300), 415),
}


# Damage


def cut(content: bytes, seed: int, number: int) -> list[bytes]:
    """`number` beginnings of it, of seeded lengths."""
    chance = random.Random(seed)
    return [content[: chance.randrange(len(content))] for _ in range(number)]


def flipped(content: bytes, seed: int, number: int) -> list[bytes]:
    """`number` copies with up to fifty bytes changed; half of them in the first kilobyte, where structure is."""
    chance = random.Random(seed)
    copies = []
    for turn in range(number):
        broken = bytearray(content)
        reach = len(broken) if turn % 2 else min(1024, len(broken))
        for _ in range(chance.choice((1, 5, 50))):
            broken[chance.randrange(reach)] ^= 1 << chance.randrange(8)
        copies.append(bytes(broken))
    return copies

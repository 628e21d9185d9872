"""What a file is built of, walked through without decoding anything, and refused when there is absurdly much of it.

The decoders take any number of frames, scans, chunks or tags, and each costs time or memory: half a megabyte of JPEG
scans is minutes of work, 20 MB of GIF comments a gigabyte. Honest files stay far below the numbers here. Pure Python,
stops one over a limit; runs in the decoder's process, since an honest file of 64 MB may take it a tenth of a second.
"""

from __future__ import annotations

import contextlib
import re
import struct
from typing import BinaryIO

from imgpool.errors import ImageTooLarge
from imgpool.imaging.formats import GIF, JPEG, PNG, TIFF, Format
from imgpool.imaging.model import Limits

# Encoders write ten scans, hand-made scripts some dozens. Each is a pass over the whole picture: 30 ms at 81 MP.
_MOST_SCANS = 200
# The marker, a length and a number of components that fit each other: five bytes that stand nowhere by chance.
_SCAN = re.compile(rb"\xff\xda\x00(?:\x08\x01|\x0a\x02|\x0c\x03|\x0e\x04)")
# A profile takes up to 255 segments, a depth map some hundreds; a PNG of 64 MB in pieces of 8 KB has 8,000.
_MOST_SEGMENTS = 10_000
_MOST_CHUNKS = 100_000
# Texts and profiles: Pillow unfolds every one of them, up to `decode.MOST_TEXT_BYTES`.
_PACKED = (b"zTXt", b"iTXt", b"iCCP")
_MOST_PACKED = 100
# Of up to 255 bytes each. Pillow builds the comment out of them, at 50 bytes of memory a piece.
_MOST_BLOCKS = 1_000_000


def check_structure(file: BinaryIO, found: Format, limits: Limits) -> None:
    """Raise `ImageTooLarge`, with the number, when the file is built of more parts than its decoder should meet.

    A file that ends early or makes no sense is walked as far as it goes; the decoder says what is wrong with it.
    """
    walk = {JPEG: _walk_jpeg, PNG: _walk_png, GIF: _walk_gif, TIFF: _walk_tiff}.get(found)
    if walk is None:
        return
    file.seek(0)
    # These mean that the file ended in the middle of a field, or points beyond all numbers.
    with contextlib.suppress(struct.error, IndexError, OverflowError):
        walk(file, limits)


def too_many_frames(limits: Limits) -> ImageTooLarge:
    """Return the error for a file of more frames than the limit."""
    return _too_many(limits.max_frames, "frames")


def _too_many(most: int, parts: str) -> ImageTooLarge:
    advice = "Upload a single picture" if parts == "frames" else "Save it anew in an image editor and upload that"
    return ImageTooLarge(f"This file has more than {most:,} {parts}, which is the limit. {advice}.")


def _walk_jpeg(file: BinaryIO, limits: Limits) -> None:
    one_scan = False
    with contextlib.suppress(struct.error, IndexError):
        one_scan = _is_of_one_scan(file)
    if not one_scan:
        file.seek(0)
        # Wherever they stand, in no order: after damage a decoder goes on at a place that no walk foresees.
        if sum(1 for _ in _SCAN.finditer(file.read())) > _MOST_SCANS:
            raise _too_many(_MOST_SCANS, "scans")


def _is_of_one_scan(file: BinaryIO) -> bool:
    """Tell whether this is, without any doubt, a JPEG of which a decoder reads one scan and no more: most are."""
    file.seek(2)
    components = 0
    for _ in range(_MOST_SEGMENTS):
        marker = file.read(2)
        if marker == b"\xff\xff":  # a fill byte; Pillow takes as long over each as over a segment
            file.seek(-1, 1)
            continue
        if marker[0] != 0xFF or marker[1] < 0xC0:
            return False  # junk, which decoders skip
        length = struct.unpack(">H", file.read(2))[0]
        if marker[1] in (0xC0, 0xC1):
            components = file.read(6)[5]
            length -= 6
        elif marker[1] == 0xDA:
            return file.read(1)[0] == components
        file.seek(length - 2, 1)
    raise _too_many(_MOST_SEGMENTS, "segments")


def _walk_png(file: BinaryIO, limits: Limits) -> None:
    file.seek(8)
    packed = 0
    for _ in range(_MOST_CHUNKS):
        length, kind = struct.unpack(">I4s", file.read(8))
        packed += kind in _PACKED
        if packed > _MOST_PACKED:
            raise _too_many(_MOST_PACKED, "packed texts and profiles")
        if kind == b"IEND":
            return
        file.seek(length + 4, 1)
    raise _too_many(_MOST_CHUNKS, "chunks")


def _walk_gif(file: BinaryIO, limits: Limits) -> None:
    file.seek(10)
    flags = file.read(3)[0]
    if flags & 0x80:
        file.seek(3 << ((flags & 7) + 1), 1)
    frames = blocks = 0
    while (kind := file.read(1)) in (b"!", b","):  # else the trailer, the end or nonsense
        if kind == b"!":
            file.seek(1, 1)
        else:
            frames += 1
            if frames > limits.max_frames:
                raise too_many_frames(limits)
            flags = file.read(9)[8]
            file.seek((3 << ((flags & 7) + 1) if flags & 0x80 else 0) + 1, 1)
        while length := file.read(1)[0]:
            blocks += 1
            if blocks > _MOST_BLOCKS:
                raise _too_many(_MOST_BLOCKS, "blocks")
            file.seek(length, 1)


def _walk_tiff(file: BinaryIO, limits: Limits) -> None:
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    big = 43 in (head[2], head[3])
    count_form, next_form, entry_form = ("Q", "Q", "HHQ8s") if big else ("H", "L", "HHL4s")
    at = struct.unpack_from(order + next_form, head, 8 if big else 4)[0]
    seen: set[int] = set()
    while at and at not in seen:
        seen.add(at)
        if len(seen) > limits.max_frames:
            raise too_many_frames(limits)
        file.seek(at)
        entries = struct.unpack(order + count_form, file.read(struct.calcsize(count_form)))[0]
        if entries > 65_535:
            return
        table = file.read(entries * struct.calcsize(order + entry_form))
        at = struct.unpack(order + next_form, file.read(struct.calcsize(order + next_form)))[0]
        if len(seen) == 1:
            _check_tile(table, order + entry_form, limits)


def _check_tile(table: bytes, entry_form: str, limits: Limits) -> None:
    """libtiff takes the memory for a whole tile, however small the picture is."""
    tile = {322: 0, 323: 0}
    for tag, kind, _, value in struct.iter_unpack(entry_form, table):
        if tag in tile:  # a value of 16 bits stands at the front of its field; the rest may hold anything
            tile[tag] = int.from_bytes(value[: {3: 2, 4: 4}.get(kind)], "little" if entry_form[0] == "<" else "big")
    if tile[322] * tile[323] > limits.max_pixels:
        raise ImageTooLarge(
            f"This image comes in tiles of {tile[322]} x {tile[323]} pixels; at most {limits.max_pixels:,} pixels are "
            "accepted. Save it anew in an image editor and upload that."
        )

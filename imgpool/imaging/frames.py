"""How many frames a GIF or TIFF is built of, counted without decoding any.

These two formats do not announce the number: it has to be walked to. Pure Python, stops one over the limit; never
loads a picture. For the other formats Pillow reads it from the header.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

from imgpool.imaging.formats import GIF, TIFF, Format


def count_frames(file: BinaryIO, found: Format, most: int) -> int:
    """Return the number of frames, or `most + 1` when there are more; 1 for a format that says so itself.

    A file that ends early or makes no sense counts as far as it does; the decoder says what is wrong with it.
    """
    try:
        if found is GIF:
            return _count_gif(file, most)
        if found is TIFF:
            return _count_tiff(file, most)
    except (struct.error, IndexError):
        pass  # the file ended in the middle of a field
    return 1


def _count_gif(file: BinaryIO, most: int) -> int:
    file.seek(10)
    flags = file.read(3)[0]
    if flags & 0x80:
        file.seek(3 << ((flags & 7) + 1), 1)
    frames = 0
    while frames <= most:
        kind = file.read(1)
        if kind == b"!":
            file.seek(1, 1)
        elif kind == b",":
            frames += 1
            flags = file.read(9)[8]
            file.seek((3 << ((flags & 7) + 1) if flags & 0x80 else 0) + 1, 1)
        else:
            break  # the trailer, the end or nonsense
        while length := file.read(1)[0]:
            file.seek(length, 1)
    return max(frames, 1)


def _count_tiff(file: BinaryIO, most: int) -> int:
    file.seek(0)
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    big = 43 in (head[2], head[3])
    count_form, next_form, entry_bytes = ("Q", "Q", 20) if big else ("H", "L", 12)
    at = struct.unpack_from(order + next_form, head, 8 if big else 4)[0]
    seen: set[int] = set()
    while at and at not in seen and len(seen) <= most and at < 2**62:
        seen.add(at)
        file.seek(at)
        entries = struct.unpack(order + count_form, file.read(struct.calcsize(count_form)))[0]
        if entries > 65_535:
            break
        file.seek(entries * entry_bytes, 1)
        at = struct.unpack(order + next_form, file.read(struct.calcsize(order + next_form)))[0]
    return max(len(seen), 1)

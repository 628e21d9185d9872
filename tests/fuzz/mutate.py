"""Seeded changes to a file that keep some of its structure: parts dropped, doubled, moved and borrowed from others,
fields set to the numbers at which programs break, checksums made right again."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable, Sequence
from itertools import pairwise

_EDGES = (0, 1, 2, 3, 7, 8, 127, 128, 255, 256, 4095, 4096, 32767, 32768, 65534, 65535, 65536, 2**24, 2**31 - 1, 2**31)
_LARGEST = 2_000_000  # bytes; a mutation that repeats stays below


def parts(content: bytes) -> list[bytes]:
    """Cut a file into the pieces it is built of, which joined are the file; pieces of 12 bytes when nobody knows."""
    try:
        if content[:2] == b"\xff\xd8":
            return _walk(content, 2, lambda at: 2 + struct.unpack_from(">H", content, at + 2)[0])
        if content[:4] == b"\x89PNG":
            return _walk(content, 8, lambda at: 12 + struct.unpack_from(">I", content, at)[0])
        if content[:4] == b"RIFF":
            return _walk(content, 12, lambda at: 8 + (struct.unpack_from("<I", content, at + 4)[0] + 1) // 2 * 2)
        if content[4:8] == b"ftyp":
            return _walk(content, 0, lambda at: _box_step(content, at))
    except struct.error:
        pass
    return [content[at : at + 12] for at in range(0, len(content), 12)]


def _walk(content: bytes, first: int, step: Callable[[int], int]) -> list[bytes]:
    cuts = [0, first] if first else [0]
    while cuts[-1] + 8 <= len(content) and len(cuts) < 10_000:
        cuts.append(min(len(content), cuts[-1] + max(2, step(cuts[-1]))))
    cuts.append(len(content))
    return [content[start:end] for start, end in pairwise(cuts) if start < end]


def _box_step(content: bytes, at: int) -> int:
    """Go into boxes that hold boxes: their headers become pieces of their own."""
    size, kind = struct.unpack_from(">I4s", content, at)
    return {b"meta": 12, b"iprp": 8, b"ipco": 8, b"moov": 8, b"trak": 8, b"mdia": 8, b"minf": 8, b"stbl": 8}.get(
        kind, size or len(content) - at
    )


def _png_checksums(content: bytes) -> bytes:
    """Make the checksums right, so that what was changed is read and not refused for its sum."""
    if content[:4] != b"\x89PNG":
        return content
    fixed = content[:8]
    for piece in parts(content)[1:]:
        whole = len(piece) >= 12 and len(piece) == 12 + struct.unpack(">I", piece[:4])[0]
        fixed += piece[:-4] + struct.pack(">I", zlib.crc32(piece[4:-4])) if whole else piece
    return fixed


class Mutator:
    """Makes files out of files; the same seed makes the same ones in the same order."""

    def __init__(self, seeds: Sequence[bytes], seed: int) -> None:
        self._seeds = seeds
        self.chance = random.Random(seed)

    def next(self) -> bytes:
        """Return the next file: a seed with one to five changes; now and then as it is."""
        content = self.chance.choice(self._seeds)
        magic = content[:16]
        for _ in range(self.chance.choice((0, 1, 1, 1, 2, 2, 3, 5))):
            content = self.chance.choice(self._CHANGES)(self, content)
            if not content:
                break
        if self.chance.random() < 0.8:  # else every third would be told from its first bytes that it is no image
            content = magic + content[16:]
        return _png_checksums(content) if self.chance.random() < 0.7 else content

    def _move_parts(self, content: bytes) -> bytes:
        pieces = parts(content)
        at = self.chance.randrange(len(pieces))
        match self.chance.randrange(5):
            case 0:
                del pieces[at]
            case 1:
                pieces.insert(self.chance.randrange(len(pieces)), pieces[at])
            case 2:
                times = min(self.chance.choice((10, 1000, 100_000)), _LARGEST // max(1, len(pieces[at])))
                pieces[at : at + 1] = [pieces[at]] * max(1, times)
            case 3:
                other = self.chance.randrange(len(pieces))
                pieces[at], pieces[other] = pieces[other], pieces[at]
            case _:
                pieces.insert(at, self.chance.choice(parts(self.chance.choice(self._seeds))))
        return b"".join(pieces)

    def _set_field(self, content: bytes) -> bytes:
        """Write an edge into a field: mostly near the beginning of a part, where lengths and sizes are."""
        pieces = parts(content)
        place = sum(map(len, pieces[: self.chance.randrange(len(pieces))])) + self.chance.randrange(24)
        width = self.chance.choice((1, 2, 4, 4, 8))
        value = (self.chance.choice(_EDGES) * self.chance.choice((1, 1, 1, -1))) % 2 ** (8 * width)
        order = "big" if self.chance.random() < 0.5 else "little"
        return content[:place] + value.to_bytes(width, order) + content[place + width :]

    def _turn_bits(self, content: bytes) -> bytes:
        broken = bytearray(content)
        for _ in range(self.chance.choice((1, 3, 30))):
            broken[self.chance.randrange(len(broken))] ^= 1 << self.chance.randrange(8)
        return bytes(broken)

    def _overwrite(self, content: bytes) -> bytes:
        start = self.chance.randrange(len(content))
        length = self.chance.choice((1, 4, 64, 1000))
        kind = self.chance.choice((bytes(length), b"\xff" * length, self.chance.randbytes(length)))
        return content[:start] + kind[: len(content) - start] + content[start + length :]

    def _cut(self, content: bytes) -> bytes:
        start, end = sorted(self.chance.randrange(len(content) + 1) for _ in range(2))
        return content[:end] if self.chance.random() < 0.7 else content[:start] + content[end:]

    def _graft(self, content: bytes) -> bytes:
        """Go on with the rest of another file."""
        other = self.chance.choice(self._seeds)
        return content[: self.chance.randrange(len(content))] + other[self.chance.randrange(len(other)) :]

    _CHANGES = (_move_parts, _move_parts, _set_field, _set_field, _set_field, _turn_bits, _overwrite, _cut, _graft)

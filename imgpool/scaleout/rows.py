"""An image as PostgreSQL has it: its columns, a row as a record, and which texts may be asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, LiteralString

from imgpool.service.records import ImageRecord, columns, image_record

COLUMNS: LiteralString = columns(ImageRecord)


def record(row: Sequence[Any]) -> ImageRecord:
    """A row of `COLUMNS`."""
    return image_record(row[:-1], row[-1])


def text(given: str) -> str:
    """PostgreSQL takes no text with NUL or half a surrogate pair, and nothing is known by such a name."""
    try:
        given.encode()
    except UnicodeEncodeError:
        return ""
    return "" if "\0" in given else given

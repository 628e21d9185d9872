"""Where a service keeps its images: their bytes, and what is known of each."""

from __future__ import annotations

from dataclasses import dataclass

from imgpool.service.files import Files
from imgpool.service.records import Records


@dataclass(frozen=True, slots=True)
class Stores:
    """The two that a `Backend` opened. See each for what blocks, and who may call."""

    files: Files
    records: Records

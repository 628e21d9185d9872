"""What `imgpool compare` does, from its options to its three files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from imgpool.load.compare import compare, default_memory_bytes
from imgpool.load.compare_report import compare_page, picture, png
from imgpool.load.target import LoadError
from imgpool.values import size

MOST_FACTOR = 100.0
MOST_S = 120.0


def compare_all(
    images: list[Path],
    out: Path,
    *,
    factors: str,
    hold_s: float,
    follow_s: float,
    memory_bytes: str | None,
    say: Callable[[str], None],
) -> None:
    """Run the comparison, and write `compare.json`, `compare.html` and `compare.png` into `out`. Raises `LoadError`."""
    try:
        times = sorted({float(each) for each in factors.split(",")})
    except ValueError:
        times = []
    if not times or not all(0 < each <= MOST_FACTOR for each in times):
        raise LoadError(f"--factors: {factors!r} is not allowed; allowed: numbers up to {MOST_FACTOR:g}, as 1,2,5,10")
    for option, value in (("--hold-s", hold_s), ("--follow-s", follow_s)):
        if not 1 <= value <= MOST_S:
            raise LoadError(f"{option}: {value:g} is not allowed; allowed: seconds from 1 to {MOST_S:g}")
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        limit = default_memory_bytes(cpus) if memory_bytes is None else size(128 * 1024**2)(memory_bytes)
    except ValueError as error:
        raise LoadError(f"--memory-bytes: {memory_bytes!r} is not allowed; allowed: {error}") from None
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "compare.json").touch()
    except OSError as error:
        raise LoadError(f"--out: {str(out)!r} cannot be written: {error.strerror}") from None
    result = compare(images, times, hold_s=hold_s, follow_s=follow_s, memory_bytes=limit, cpus=cpus, say=say)
    (out / "compare.json").write_text(json.dumps(asdict(result), indent=1) + "\n")
    (out / "compare.html").write_text(compare_page(result))
    (out / "compare.png").write_bytes(png(picture(result)))
    say(f"{out / 'compare.html'}, compare.png and compare.json have been written")

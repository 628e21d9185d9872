"""The bare loops of `imgpool bench`, in processes that are set up like a decoder child, and photos to measure with.

Starts processes of `imgpool.imaging.bare` alone, and waits until they have ended.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from imgpool.imaging.child_process import child_environment
from imgpool.imaging.recipe import DEFAULT_RECIPE
from imgpool.lifeline import bound
from imgpool.load.bench_report import Measured, counted
from imgpool.load.compare import default_photos
from imgpool.load.target import LoadError

LONGEST_S = 600.0


def camera_photos(into: Path) -> list[Path]:
    """The sample photos of 12 megapixels with the grain of a sensor, in files of a camera's size (2.5 to 2.9 MB).

    As they lie in `sample_images` they are painted, pack unusually well, and are decoded in half the time.
    Raises `LoadError` where there are no samples.
    """
    photos = [(photo, into / photo.name) for photo in default_photos()]
    with _started({"kind": "grain", "files": [[str(photo), str(grained)] for photo, grained in photos]}, into) as loop:
        loop.told()
    return [grained for _, grained in photos]


def run(kind: str, files: list[Path], images: int, work: Path, *, threads: int = 1, processes: int = 1) -> Measured:
    """Measure `images` turns of a loop (`codecs` or `pipeline`) on so many threads, in each of so many processes that
    begin together. Blocks. Raises `LoadError`.
    """
    asked = {
        "kind": kind,
        "files": [str(each) for each in files],
        "recipe": DEFAULT_RECIPE,
        "directory": str(work),
        "images": images,
        "threads": threads,
    }
    with ExitStack() as stack:
        loops = [stack.enter_context(_started(asked, work)) for _ in range(processes)]
        for loop in loops:
            loop.told()  # it is warm
        for loop in loops:
            loop.tell("go")
        told = [loop.told() for loop in loops]
    name = "codecs alone" if kind == "codecs" else "bare pipeline"
    beside = counted(threads, "thread") if processes == 1 else counted(processes, "process", "processes")
    return Measured(
        f"{name}, {beside}",
        images * processes,
        max(each["wall_s"] for each in told),
        sum(each["cpu_s"] for each in told),
    )


class _Loop:
    """A process of `imgpool.imaging.bare`, to which one speaks in lines."""

    def __init__(self, process: subprocess.Popen[str], errors: Path) -> None:
        self._process, self._errors = process, errors

    def tell(self, line: str) -> None:
        assert self._process.stdin is not None  # noqa: S101 - asked for below
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except OSError:
            pass  # it has ended: `told` says why

    def told(self) -> Any:
        """The next thing that it says; blocks until then."""
        assert self._process.stdout is not None  # noqa: S101 - asked for below
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            raise LoadError(f"the bare loop failed: {self._errors.read_text().strip()[-300:]}")
        return json.loads(line)


@contextmanager
def _started(asked: dict[str, Any], work: Path) -> Iterator[_Loop]:
    errors = work / "bare-errors"
    with (
        errors.open("w") as stderr,
        subprocess.Popen(  # noqa: S603 - our own module
            bound([sys.executable, "-P", "-m", "imgpool.imaging.bare"]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env=child_environment(),
        ) as process,
    ):
        patience = threading.Timer(LONGEST_S, process.kill)
        patience.start()
        loop = _Loop(process, errors)
        try:
            loop.tell(json.dumps(asked))
            yield loop
        except BaseException:
            process.kill()
            raise
        finally:
            patience.cancel()

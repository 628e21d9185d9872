"""The work of a job in the lab: waiting, counting, or a real picture. Programs call `work`; the record hears of it.

Each kind loads the machine as its name says. "wait" is what a download or a database does to a thread: it sleeps, and
any number can sleep at once. "compute" keeps Python's interpreter busy, of which there is one for all threads.
"image" decodes and shrinks a photo with Pillow, which lets go of the interpreter meanwhile: as many run at once as
there are processor cores.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Literal

from imgpool.learn.lab.record import Record

Kind = Literal["wait", "compute", "image"]
KINDS: tuple[Kind, ...] = ("wait", "compute", "image")

record: Record | None = None  # set by the lab's child before it runs a program; None: nobody listens
photo: Path | None = None  # what "image" works on


def work(job: object, kind: Kind, length_ms: float) -> None:
    """Do one job in this thread. Blocks for `length_ms`: of time for "wait", of processor time for "compute"; an image
    takes what it takes.
    """
    if record is not None:
        record.step(record.me(), "starts", item=str(job))
    try:
        if kind == "wait":
            time.sleep(length_ms / 1000)
        elif kind == "compute":
            until = time.thread_time() + length_ms / 1000
            while time.thread_time() < until:
                sum(range(200))
        else:
            _shrink()
    finally:
        if record is not None:
            record.step(record.me(), "finishes", item=str(job))


def pause(gap_ms: float) -> None:
    """The time until the next job arrives."""
    if gap_ms > 0:
        time.sleep(gap_ms / 1000)


def _shrink() -> None:
    from imgpool.imaging.model import Limits
    from imgpool.imaging.pipeline import make_variants
    from imgpool.imaging.recipe import DEFAULT_RECIPE, parse_recipe

    if photo is None:
        raise FileNotFoundError("the lab has no photo to work on")
    with tempfile.TemporaryDirectory(prefix="imgpool-lab-") as into:
        make_variants(photo, Path(into), parse_recipe(DEFAULT_RECIPE), Limits(), sync=False)

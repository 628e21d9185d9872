"""One attempt at an image, by whichever worker: from its original to published variants.

Knows nothing of how the image ID came to the worker, or of how the outcome goes to the records.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from imgpool.errors import DecoderKilled, ImagingError, JobCancelled, MachineFailed
from imgpool.imaging.model import Made
from imgpool.pool import Context
from imgpool.service.files import Files
from imgpool.service.records import Outcome, StoreError, VariantRecord

log = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_RETRY_S, LONGEST_RETRY_S = 0.1, 5.0


@dataclass(frozen=True, slots=True)
class Attempted:
    """How an attempt at an image ended: `error` None means that its variants are published."""

    error: str | None
    format: str | None = None
    width: int | None = None
    height: int | None = None
    variants: tuple[VariantRecord, ...] = ()

    def outcome(self, wait_s: float | None, service_s: float | None) -> Outcome:
        """As the records take it."""
        # A decoder may say anything, half of a surrogate pair too, which no database takes.
        error = self.error and self.error.encode("utf-8", "replace").decode()
        return Outcome(error, wait_s, service_s, self.format, self.width, self.height, self.variants)


def attempt(files: Files, image_id: str, process: Callable[[Path, Path], Made]) -> Attempted:
    """Make and publish the variants; `process` makes those of an original in an empty directory. Blocks.

    Raises what is not the image's fault: OSError or `MachineFailed` (try again), `DecoderKilled`, `JobCancelled`.
    """
    with ExitStack() as stack:
        try:
            original = stack.enter_context(files.original(image_id))
        except FileNotFoundError:
            return Attempted("The original is gone from the server's disk: upload it again.")
        staged = files.stage(image_id)
        stack.callback(files.unstage, staged)
        try:
            made = process(original, staged)
        except (JobCancelled, MachineFailed, DecoderKilled):
            raise
        except ImagingError as error:
            return Attempted(str(error))
        where = files.publish(image_id, staged)
        variants = tuple(
            VariantRecord(each.name, where + each.filename, each.format, each.width, each.height, each.bytes)
            for each in made.variants
        )
        return Attempted(None, made.format, made.width, made.height, variants)


def retried(context: Context, what: str, action: Callable[[], T]) -> T:
    """Do it until the disk and the store let it happen; raises `JobCancelled` when the context ends first.

    Such a failure is the server's and not the image's: it costs time and never an image. Whoever waits here
    fills the channel behind it, until admission refuses.
    """
    pause_s = FIRST_RETRY_S
    while True:
        try:
            return action()
        except (OSError, StoreError, MachineFailed) as error:
            log.error("%s: trying again in %.1f s: %s", what, pause_s, error)
        if context.wait(pause_s):
            raise JobCancelled("the server stops")
        pause_s = min(pause_s * 2, LONGEST_RETRY_S)

"""The check of each exercise, by its number.

A check is a generator of findings, run in the child process with the learner's program. It calls the program's
functions with numbers of its own, and looks at what the recorder noted. It owns no process and no limit; a `Missing`
raised on the way ends it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from imgpool.learn.exercises import channel_checks, pool_checks
from imgpool.learn.exercises.finding import Finding
from imgpool.learn.exercises.program import Program

CHECKS: dict[int, Callable[[Program], Iterator[Finding]]] = {
    1: channel_checks.squares,
    2: channel_checks.more_workers,
    3: channel_checks.close,
    4: channel_checks.collect,
    5: channel_checks.buffers,
    6: pool_checks.timeouts,
    7: pool_checks.cancellation,
    8: pool_checks.image_queue,
    9: pool_checks.refuse,
}

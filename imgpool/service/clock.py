"""The time of day, held against a clock that cannot jump, so that no jump deletes an image before its time.

Somebody sets the clock, a machine wakes up, a time server corrects by years: what is shown follows the new time, but
what is deleted by its age must be old by both clocks.
"""

from __future__ import annotations

import time
from collections.abc import Callable


class Clock:
    """Any thread may call any method. Seconds since the epoch."""

    def __init__(self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wall, self._monotonic = wall, monotonic
        self._offset = wall() - monotonic()

    def now(self) -> float:
        """What the machine says."""
        return self._wall()

    def latest(self) -> float:
        """The later of what the machine says and what it said when this was made, plus the time since."""
        return max(self._wall(), self._monotonic() + self._offset)

    def earliest(self) -> float:
        """The earlier of the two."""
        return min(self._wall(), self._monotonic() + self._offset)

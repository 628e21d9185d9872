"""A request's body of known length, straight from the socket into the application's own buffer.

gunicorn's own reader copies each piece three times, through buffers large enough for the allocator to give them back to
the kernel each time: a fifth of what receiving a photo cost. Blocks as the socket does; for the one thread that serves
the request.
"""

from __future__ import annotations

import io
from typing import Any


class StraightBody(io.RawIOBase):
    """Reads `length` bytes from gunicorn's `unreader`: at most as many as asked for, as soon as there are some.

    Stands in the place of gunicorn's body and of its reader, which it is as far as they are looked at.
    """

    def __init__(self, unreader: Any, length: int) -> None:
        self._unreader = unreader
        self.length = length  # that has not been read yet
        self.failed = False  # then gunicorn does not use the connection again

    @property
    def reader(self) -> StraightBody:
        """What gunicorn's body reads from."""
        return self

    def readable(self) -> bool:
        """It is for reading only."""
        return True

    def readinto(self, buffer: Any) -> int:
        """As any raw file: what is there, as far as the buffer reaches; 0 at the end, or when the client is gone. All
        other ways to read, `io.RawIOBase` makes of this one. Raises `TimeoutError` when the client is too slow.
        """
        view = memoryview(buffer)[: self.length]
        if not view:
            return 0
        try:
            count: int = self._unreader.receive_into(view)
        except BaseException:
            self.failed = True
            raise
        self.length -= count
        self.failed = not count
        return count

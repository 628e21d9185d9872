"""A request's body of known length, straight from the socket to the application.

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

    def read(self, size: int | None = -1) -> bytes:
        """As any raw file: what is there, up to `size` bytes; b"" at the end, or when the client is gone; without a
        size, all of it. Raises `TimeoutError` when the client is too slow.
        """
        if size is None or size < 0:
            return self.readall()
        size = min(size, self.length)
        if not size:
            return b""
        try:
            data: bytes = self._unreader.read_some(size)
        except BaseException:
            self.failed = True
            raise
        self.length -= len(data)
        self.failed = not data
        return data

    def readinto(self, buffer: Any) -> int:
        """For what `io.RawIOBase` makes of it: lines, and all of it."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

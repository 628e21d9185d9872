"""A processor for each worker thread: made in that thread, used in it alone, closed when it ends.

The kernel ends a decoder child with the thread that started it, so one thread cannot make another's. Shared by the
engine and the batch; knows nothing of records or files.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from imgpool.imaging.sandbox import Processor


class WorkerProcessors:
    """Each method speaks of the calling thread's processor."""

    def __init__(self, make: Callable[[], Processor]) -> None:
        self._make = make
        self._thread = threading.local()

    def mine(self) -> Processor:
        """The thread's processor, made at the first call that succeeds. Raises what `make` does."""
        if not hasattr(self._thread, "processor"):
            self._thread.processor = self._make()
        processor: Processor = self._thread.processor
        return processor

    def close_mine(self) -> None:
        """Close the thread's processor, if it has one. The thread's last act."""
        if hasattr(self._thread, "processor"):
            self._thread.processor.close()

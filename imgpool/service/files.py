"""Where originals and variants lie, and the seam where that is decided.

`Files` is the contract; `imgpool.service.directory` keeps it in two directories, and any other store has to pass the
same tests (`tests/contract/test_files.py`). A file is whole under its final name or it is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol


class NewOriginal(Protocol):
    """The bytes of one upload on their way in. Used by one thread; `commit` or `discard` ends it."""

    def write(self, chunk: bytes | memoryview) -> None:
        """Append; raises OSError as files do. The chunk is the caller's again when this returns."""

    def path(self) -> Path:
        """A local file that holds what was written so far (flushed)."""

    def commit(self) -> None:
        """Sync to the disk and take the final name: after this the original survives a crash."""

    def withdraw(self) -> None:
        """After a `commit` that failed, or whose image got no record: remove what it may have left under the final
        name. Raises OSError when it stays, for a sweep to find.
        """

    def discard(self) -> None:
        """Forget the bytes; idempotent, and nothing after `commit`."""


class RemoteVariant(Protocol):
    """A published variant that lies on another machine. Any thread may use it, as often as it likes."""

    @property
    def version(self) -> str:
        """Changes when the bytes may have; no look at the store is needed to know it."""

    def read(self, first: int = 0, last: int | None = None) -> AbstractContextManager[Iterator[bytes]]:
        """The bytes from `first` to `last` inclusive, in chunks. Blocks. Raises FileNotFoundError when there is no such
        variant (any more), and any other OSError, also from the chunks, when the store is away.
        """

    def url(self, valid_s: int, content_type: str) -> str:
        """Where anybody may get it for so long, as this type. Raises OSError."""


class Files(Protocol):
    """Keeps originals and variants. Every method may block on the disk, and any thread may call it; OSError
    says that the store cannot do it now.
    """

    def new_original(self, image_id: str) -> NewOriginal:
        """Begin an upload."""

    def adopt(self, image_id: str, path: Path) -> None:
        """Make a whole, synced local file the original; on disk when it returns. The file stays where it is, and is
        its owner's to remove.
        """

    def original(self, image_id: str) -> AbstractContextManager[Path]:
        """A local path to read the original from, until the end of the context. Raises FileNotFoundError when there is
        no such original (any more); any other OSError says that the store is away.
        """

    def stage(self, image_id: str) -> Path:
        """An empty local directory to make variants in."""

    def publish(self, image_id: str, staged: Path) -> str:
        """Put the staged variants in place, all at once, instead of any older ones. Returns what stands before their
        names from now on, in `variant`'s eyes.
        """

    def unstage(self, staged: Path) -> None:
        """Throw a staged directory away; idempotent."""

    def variant(self, image_id: str, filename: str) -> Path | RemoteVariant:
        """A published variant: a local path where there is one. It may be missing."""

    def delete(self, image_id: str) -> None:
        """Remove original and variants; idempotent."""

    def sweep(self, known: Callable[[Iterable[str]], set[str]]) -> int:
        """At start, before uploads: remove what a crash left half made and what has no record. Returns how many."""

    def free_bytes(self) -> int:
        """Room left for originals and variants, the smaller of the two. Raises OSError while it is known that they
        cannot be kept.
        """


def is_image_id(text: str) -> bool:
    """Whether this is 128 bits in lower-case hex."""
    return len(text) == 32 and all(character in "0123456789abcdef" for character in text)

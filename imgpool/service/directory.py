"""Files in two directories of this machine: originals in one, variants in the other.

What is half made has another name until a rename on the same disk makes it whole, and what is to survive a power cut is
synced, its directory too. Never decides what is to be kept: it is told.
"""

from __future__ import annotations

import errno
import logging
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from imgpool.errors import SettingError
from imgpool.service.durable import NO_HARD_LINKS, made_once, sync_directory
from imgpool.service.files import NewOriginal, is_image_id

log = logging.getLogger(__name__)

SWEEP_BATCH = 500
COPY_BYTES = 1024 * 1024
NO_SECRET = 0o666  # less the umask, as all files here: hosts may share a directory as different users of one group


class Directory:
    """`Files` in `originals/ID` under `data_dir` and `ID/FILENAME` under `output_dir`.

    What is half made has another name: `originals/ID.part`, and `OUTPUT/.staged-ID` for variants, so that a
    rename on the same disk is all it takes.
    """

    def __init__(self, data_dir: Path, output_dir: Path) -> None:
        # Absolute: decoder children and Flask resolve relative paths against directories of their own.
        self._originals = data_dir.absolute() / "originals"
        self._output = output_dir.absolute()
        self._originals.mkdir(parents=True, exist_ok=True)
        self._output.mkdir(parents=True, exist_ok=True)
        self._claim(data_dir)

    def _claim(self, data_dir: Path) -> None:
        """Two data directories with one output directory would sweep away each other's variants."""
        owner = made_once(data_dir / "data-id", secrets.token_hex(16), NO_SECRET)
        if made_once(self._output / ".imgpool-data-id", owner, NO_SECRET) != owner:
            raise SettingError(
                f"--output-dir: '{self._output}' is not allowed: it holds the variants of another data directory than "
                f"'{data_dir}'; allowed: a directory of its own"
            )

    def new_original(self, image_id: str) -> NewOriginal:
        """See `Files.new_original`."""
        return _PartFile(self._originals / image_id)

    def adopt(self, image_id: str, path: Path) -> None:
        """See `Files.adopt`."""
        final = self._originals / image_id
        final.unlink(missing_ok=True)  # of an attempt whose record failed, and that could not be cleared away
        try:
            os.link(path, final)
        except OSError as error:
            if error.errno not in (errno.EXDEV, *NO_HARD_LINKS):
                raise
            copy = _PartFile(final)  # a file system without hard links
            try:
                with path.open("rb") as file:
                    while chunk := file.read(COPY_BYTES):
                        copy.write(chunk)
                copy.commit()
            finally:
                copy.discard()
        else:
            sync_directory(self._originals)

    @contextmanager
    def original(self, image_id: str) -> Iterator[Path]:
        """See `Files.original`."""
        path = self._originals / image_id
        if not path.exists():
            if not self._originals.is_dir():  # a disk that may come back
                raise NotADirectoryError(errno.ENOTDIR, "is away", str(self._originals))
            raise FileNotFoundError(errno.ENOENT, "is gone", str(path))
        yield path

    def stage(self, image_id: str) -> Path:
        """See `Files.stage`."""
        staged = self._output / f".staged-{image_id}"
        self.unstage(staged)
        staged.mkdir()
        return staged

    def publish(self, image_id: str, staged: Path) -> str:
        """See `Files.publish`."""
        final = self._output / image_id
        if final.exists():  # from an attempt that was cut off between this rename and its record
            self._remove_tree(final)
        staged.rename(final)
        sync_directory(self._output)
        return ""

    def unstage(self, staged: Path) -> None:
        """See `Files.unstage`."""
        shutil.rmtree(staged, ignore_errors=True)

    def variant(self, image_id: str, filename: str) -> Path:
        """See `Files.variant`."""
        return self._output / image_id / filename

    def delete(self, image_id: str) -> None:
        """See `Files.delete`."""
        self._remove_tree(self._output / image_id)
        (self._originals / image_id).unlink(missing_ok=True)

    def sweep(self, known: Callable[[Iterable[str]], set[str]]) -> int:
        """See `Files.sweep`."""
        removed = 0
        for directory in (self._originals, self._output):
            for names in _batches(directory):
                keep = known(names)
                for name in names:
                    if name in keep:
                        continue
                    path = directory / name
                    try:
                        if path.is_dir():
                            self._remove_tree(path)
                        else:
                            path.unlink(missing_ok=True)
                        removed += 1
                    except OSError as error:  # it costs space and nothing else; the next start tries again
                        log.error("a leftover of an earlier run stays: %s", error)
        return removed

    def free_bytes(self) -> int:
        """See `Files.free_bytes`."""
        return min(shutil.disk_usage(self._originals).free, shutil.disk_usage(self._output).free)

    def _remove_tree(self, directory: Path) -> None:
        """All at once for whoever looks: renamed aside first, so a crash leaves no half-emptied variants."""
        aside = directory.with_name(f".staged-{directory.name.removeprefix('.staged-')}-gone")
        shutil.rmtree(aside, ignore_errors=True)
        with suppress(FileNotFoundError):
            directory.rename(aside)
            shutil.rmtree(aside, ignore_errors=True)


class _PartFile:
    def __init__(self, final: Path) -> None:
        self._final = final
        self._part = final.with_name(final.name + ".part")
        self._file: BinaryIO | None = self._part.open("xb", buffering=0)

    def write(self, chunk: bytes | memoryview) -> None:
        assert self._file is not None  # noqa: S101
        view = memoryview(chunk)
        while view:  # an unbuffered write may take less than all, when the disk fills up for one
            view = view[self._file.write(view) :]

    def path(self) -> Path:
        return self._part

    def commit(self) -> None:
        assert self._file is not None  # noqa: S101
        os.fsync(self._file.fileno())
        self._file.close()
        self._file = None
        self._part.rename(self._final)
        sync_directory(self._final.parent)

    def withdraw(self) -> None:
        self._final.unlink(missing_ok=True)

    def discard(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        self._part.unlink(missing_ok=True)


def _batches(directory: Path) -> Iterator[list[str]]:
    """The names in a directory that are ours (an image ID, or something half made of one), in batches."""
    names: list[str] = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if is_image_id(entry.name.removeprefix(".staged-").removesuffix("-gone").removesuffix(".part")):
                names.append(entry.name)
            if len(names) == SWEEP_BATCH:
                yield names
                names = []
    if names:
        yield names

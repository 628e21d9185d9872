"""What is fuzzed, and what must hold whatever comes: the look at the header in the web process, the decoder child.

A target takes a file and returns in a word how it ended; `Broken` says which promise did not hold.
"""

from __future__ import annotations

import gc
import time
from pathlib import Path
from typing import Protocol

import psutil

from fuzz.seeds import open_image
from imgpool.errors import DecoderCrashed, ImageTooLarge, ImagingError, JobTimedOut
from imgpool.imaging.formats import SNIFF_BYTES, check_header, sniff
from imgpool.imaging.memory import memory_needed
from imgpool.imaging.model import Limits
from imgpool.imaging.recipe import parse_recipe
from imgpool.imaging.sandbox import InChild
from imgpool.pool import Context

HEADER_LIMIT_S = 0.1  # of CPU time, for one file; 20,000 reads of a hostile header take a fifth of that
TIMEOUT_S = 60.0  # a stop, on a machine that others use as well; what counts is the CPU time
RECIPE = parse_recipe("large=fit:64x64,thumb=cover:16x16:png")
CPU_LIMIT_S = 2.0  # for one file
MEMORY = 512 * 2**20


class Broken(AssertionError):
    """A promise that a file broke."""


class Target(Protocol):
    """Something that takes any file."""

    def __call__(self, content: bytes) -> str:
        """Return how it ended, in a word; raise `Broken`."""
        ...

    def close(self) -> None:
        """End it; raise `Broken` when it did not stand it well."""
        ...


class Header:
    """`sniff`, `check_header`, `memory_needed`, as the web process calls them: in no time, with no error but theirs."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "header"

    def __call__(self, content: bytes) -> str:
        self._path.write_bytes(content)
        gc.disable()  # what all the other tests have left to be looked through is not this file's doing
        began = time.thread_time()
        try:
            found = sniff(content[:SNIFF_BYTES])
            size = check_header(self._path, Limits())
            memory = memory_needed(self._path, RECIPE)
        except ImageTooLarge as error:
            return type(error).__name__
        except Exception as error:
            raise Broken(f"the look at the header raised {error!r}") from error
        finally:
            took = time.thread_time() - began
            gc.enable()
            if took > HEADER_LIMIT_S:
                raise Broken(f"the look at the header took {took:.2f} s of CPU")
        if size is not None and min(size) <= 0:
            raise Broken(f"the header gave the size {size}")
        if memory is not None and memory <= 0:
            raise Broken(f"it would need {memory} bytes of memory")
        return "415" if found is None else "unknown size" if size is None else "size"

    def close(self) -> None:
        """Nothing to end."""


class Pipeline:
    """A decoder child with narrow limits: it lives, is in time, answers with whole variants or a reason."""

    def __init__(self, folder: Path) -> None:
        self._original, self._into = folder / "original", folder / "out"
        self._into.mkdir()
        self._child = InChild(RECIPE, Limits(), lambda: MEMORY, sync=False)
        self._child.start()

    def __call__(self, content: bytes) -> str:
        self._original.write_bytes(content)
        began, pid, cpu = time.monotonic(), self._child.pid, self._cpu_s()
        try:
            made = self._child.process(self._original, self._into, timeout_s=TIMEOUT_S, cancelled=Context())
        except (DecoderCrashed, JobTimedOut) as error:
            # It costs one image, as promised, and is still worth a look: it goes to the corpus.
            raise Broken(f"{type(error).__name__}: {error}") from error
        except ImagingError as error:
            if not str(error).endswith("."):
                raise Broken(f"no sentence: {error}") from error
            if left := list(self._into.iterdir()):
                raise Broken(f"left behind by a failure: {left}") from error
            return type(error).__name__
        except Exception as error:
            raise Broken(f"the sandbox raised {error!r}") from error
        finally:
            took = time.monotonic() - began
            if took > TIMEOUT_S + 1:
                raise Broken(f"took {took:.1f} s")
            if self._child.pid == pid and (used := self._cpu_s() - cpu) > CPU_LIMIT_S:
                raise Broken(f"took {used:.1f} s of CPU")
        if {path.name for path in self._into.iterdir()} != {variant.filename for variant in made.variants}:
            raise Broken("other files than the answer says")
        for variant in made.variants:
            path = self._into / variant.filename
            picture = open_image(path.read_bytes())
            if picture.size != (variant.width, variant.height) or path.stat().st_size != variant.bytes:
                raise Broken(f"{variant} is {picture.size}, {path.stat().st_size} bytes")
            path.unlink()
        return "done"

    def _cpu_s(self) -> float:
        """CPU seconds of the child so far; 0 while there is none."""
        return sum(psutil.Process(self._child.pid).cpu_times()[:2]) if self._child.pid else 0.0

    def close(self) -> None:
        """End the child; it must not have grown."""
        grown = psutil.Process(self._child.pid).memory_info().rss if self._child.pid else 0
        self._child.close()
        if grown > MEMORY:
            raise Broken(f"the child grew to {grown / 2**20:.0f} MiB")

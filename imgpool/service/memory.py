"""The memory budget of all decoding together: who may decode beside whom.

Every worker may always use `LIGHT_BYTES`; what an image needs beyond that is its weight, and the weights of the images
that are processed at one time never exceed what the budget holds beside. So ordinary photos never wait for memory, and
giants wait in the queue until they fit (see `imgpool.pool.weighed`). Knows nothing of formats or of the pool's
insides: estimates are `imgpool.imaging.memory`'s.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from imgpool.errors import SettingError
from imgpool.imaging.memory import CHILD_BYTES, memory_needed
from imgpool.imaging.recipe import Recipe
from imgpool.service.resources import usable_memory

MIB = 1024**2
LIGHT_BYTES = 128 * MIB
"""Enough for a child that processes a JPEG of 100 megapixels at reduced size, or a PNG of 12 (see
`imgpool.imaging.memory`); it then keeps at most as much."""
UNKNOWN_MACHINE_BYTES = 2048 * MIB


@dataclass(frozen=True)
class MemoryBudget:
    """`total_bytes` for all decoder children together. `weight_limit` of it is shared by the images that weigh."""

    total_bytes: int
    weight_limit: int
    job_memory_bytes: int
    recipe: Recipe

    def weigh(self, original: Path) -> int:
        """The bytes that this file needs beyond its worker's own; everything when that cannot be told. Blocks on a few
        small reads."""
        needed = memory_needed(original, self.recipe)
        if needed is None:
            return self.weight_limit
        return max(0, min(needed, CHILD_BYTES + self.job_memory_bytes) - LIGHT_BYTES)

    @property
    def most_workers(self) -> int:
        """How many workers have their own share in it, with one more for larger images."""
        return self.total_bytes // LIGHT_BYTES - 1

    def shared_by(self, workers: int) -> MemoryBudget:
        """The same budget among another number of workers, `most_workers` at most."""
        return replace(self, weight_limit=self.total_bytes - workers * LIGHT_BYTES)

    @property
    def child_bytes(self) -> int:
        """The limit of one child: even an estimate that is far too low cannot take one child beyond the budget."""
        return min(self.job_memory_bytes, self.weight_limit + LIGHT_BYTES - CHILD_BYTES)


def choose_budget(
    wanted_bytes: int, workers: int, job_memory_bytes: int, recipe: Recipe, root: Path = Path("/")
) -> MemoryBudget:
    """The budget as set or, for 0, half of the memory that this process may use; `root` is where /proc and /sys are.

    Raises `SettingError` when what is set leaves nothing beside the workers' own.
    """
    least = (workers + 1) * LIGHT_BYTES
    if 0 < wanted_bytes < least:
        raise SettingError(
            f"--decode-memory-bytes: {wanted_bytes} is not allowed with {workers} workers; allowed: auto or at least "
            f"{least // MIB}MiB ({LIGHT_BYTES // MIB}MiB for each worker and once more for larger images)"
        )
    total = wanted_bytes or max(least, (usable_memory(root) or UNKNOWN_MACHINE_BYTES) // 2)
    return MemoryBudget(total, total - workers * LIGHT_BYTES, job_memory_bytes, recipe)

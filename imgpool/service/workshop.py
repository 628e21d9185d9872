"""What images are processed with, by the settings: the recipe and its limits, how many workers, the memory they share.

Made cheaply, and starts nothing: a server's workers, those of another machine and `imgpool process` all begin here.
Knows nothing of where images come from or where they are kept.
"""

from __future__ import annotations

from imgpool.config import Settings
from imgpool.errors import SettingError
from imgpool.imaging.model import Limits
from imgpool.imaging.recipe import parse_recipe
from imgpool.imaging.sandbox import InChild, InThread, Processor
from imgpool.service.memory import choose_budget
from imgpool.service.resources import WorkerChoice, choose_workers


class Workshop:
    """`choice` is the number of workers at the start, and why; `budget` is theirs as of now. Any thread may read and
    call; only whoever steers calls `share`.

    Raises `SettingError` when made with a recipe that cannot be read, or too small a memory budget.
    """

    def __init__(self, settings: Settings) -> None:
        try:
            self.recipe = parse_recipe(settings.recipe)
        except ValueError as error:
            raise SettingError(f"--recipe: {settings.recipe!r} is not allowed: {error}") from None
        self.limits = Limits(max_pixels=settings.max_pixels)
        self.choice = WorkerChoice(settings.workers, "as set") if settings.workers else choose_workers()
        self.budget = choose_budget(
            settings.decode_memory_bytes, self.choice.workers, settings.job_memory_bytes, self.recipe
        )
        self._isolation = settings.isolation

    def share(self, workers: int) -> None:
        """So many workers share the memory from now on: for what is weighed and made after this."""
        self.budget = self.budget.shared_by(min(workers, self.budget.most_workers))

    def make_processor(self) -> Processor:
        """A processor for the calling thread alone, which has to close it. Blocks while a child starts."""
        if self._isolation == "thread":
            return InThread(self.recipe, self.limits)
        processor = InChild(self.recipe, self.limits, lambda: self.budget.child_bytes)
        processor.start()
        return processor

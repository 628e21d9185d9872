"""`imgpool serve` with a store that is held up: `python tests/faulty_server.py --data-dir DATA ...`.

The real server, with one method of one part changed: while the file DATA/hold exists, no outcome is recorded.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from flask import Flask

from imgpool.config import Settings, load
from imgpool.server.application import Application
from imgpool.service import Service
from imgpool.service.records import Outcome
from imgpool.service.sqlite import SQLiteRecords
from imgpool.service.stores import Stores
from imgpool.web import create_app


class HeldUp(SQLiteRecords):
    """Records that take no outcome as long as the file `hold` lies beside them."""

    def __init__(self, path: Path) -> None:
        self._hold = path.with_name("hold")
        super().__init__(path)

    def finish(self, image_id: str, now: float, outcome: Outcome) -> bool:
        while self._hold.exists():
            time.sleep(0.01)
        return super().finish(image_id, now, outcome)


class FaultyService(Service):
    def open(self) -> None:
        super().open()
        self.records.close()
        self._stores = Stores(self.files, HeldUp(self.settings.data_dir / "imgpool.db"))


class FaultyApplication(Application):
    def load(self) -> Flask:
        return create_app(self._settings, FaultyService(self._settings))


def settings_of(arguments: list[str]) -> Settings:
    names = [name.removeprefix("--").replace("-", "_") for name in arguments[::2]]
    return load(dict(zip(names, arguments[1::2], strict=True)))


if __name__ == "__main__":
    FaultyApplication(settings_of(sys.argv[1:])).run()

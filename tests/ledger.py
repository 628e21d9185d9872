"""What a dead server left on the disk, read without its help: the promises as assertions.

Reads a copy of a dead server's database: a connection that recovers it would change what is looked at.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

IMAGE_ID = 32


@dataclass
class Row:
    state: str
    attempts: int
    finished_at: float | None
    variants: list[dict[str, Any]]


class Ledger:
    """Follows one data directory over many lives of a server."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir, self.output = data_dir, data_dir / "output"
        self.answered: list[str] = []  # IDs of which a client has read the 202
        self._ended: dict[str, Row] = {}

    def read(self) -> tuple[dict[str, Row], dict[str, int]]:
        import json

        with tempfile.TemporaryDirectory() as copy:
            for name in ("imgpool.db", "imgpool.db-wal"):
                if (self.data_dir / name).exists():
                    shutil.copy(self.data_dir / name, copy)
            with closing(sqlite3.connect(Path(copy) / "imgpool.db")) as db:
                assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                rows = {
                    row[0]: Row(row[1], row[2], row[3], json.loads(row[4]))
                    for row in db.execute("SELECT id, state, attempts, finished_at, variants FROM images")
                }
                counts = dict(db.execute("SELECT name, n FROM counts"))
        return rows, counts

    def check_dead(self) -> dict[str, int]:
        """After a kill, before anything was put in order: returns the counts."""
        rows, counts = self.read()
        states = [row.state for row in rows.values()]
        assert counts["deleted"] == 0
        assert counts["accepted"] == len(rows)
        for state in ("queued", "processing", "done", "failed"):
            assert counts[state] == states.count(state), state
        lost = [image_id for image_id in list(self.answered) if image_id not in rows]
        assert not lost, f"a client read 202 for {lost}"
        assert len(set(self.answered)) == len(self.answered)
        originals = self._names(self.data_dir / "originals")
        assert rows.keys() <= originals, "an original is gone"
        for image_id, before in self._ended.items():
            assert rows[image_id] == before, f"{image_id} was processed again after it had ended"
        for image_id, row in rows.items():
            if row.state in ("done", "failed") and image_id not in self._ended:
                self._ended[image_id] = row
                if row.state == "done":
                    self._check_variants(image_id, row)
        return counts

    def check_recovered(self) -> None:
        """After a start, while no client has come yet: nothing half made is left, nothing without a record.

        The server is at work meanwhile, and a copy of its files could be half before and half after a checkpoint: they
        are read where they are, by a connection that can do nothing else.
        """
        with closing(sqlite3.connect(f"{(self.data_dir / 'imgpool.db').as_uri()}?mode=ro", uri=True)) as db:
            rows = {row[0] for row in db.execute("SELECT id FROM images")}
        assert self._names(self.data_dir / "originals") == rows
        for name in self._names(self.output) - {".imgpool-data-id"}:
            image_id = name.removeprefix(".staged-").removesuffix("-gone")
            assert image_id in rows, f"orphan {name}"

    def check_settled(self) -> dict[str, int]:
        """After a clean end: every image has ended, every variant can be decoded, and nothing else lies there."""
        counts = self.check_dead()
        rows, _ = self.read()
        assert counts["queued"] == counts["processing"] == 0
        done = {image_id for image_id, row in rows.items() if row.state == "done"}
        assert self._names(self.data_dir / "originals") == rows.keys()
        assert self._names(self.output) - {".imgpool-data-id"} == done
        for image_id in done:
            for variant in rows[image_id].variants:
                with Image.open(self.output / image_id / variant["filename"]) as picture:
                    picture.load()
        return counts

    def _check_variants(self, image_id: str, row: Row) -> None:
        made = {path.name: path.stat().st_size for path in (self.output / image_id).iterdir()}
        assert made == {variant["filename"]: variant["bytes"] for variant in row.variants}, image_id

    def _names(self, directory: Path) -> set[str]:
        return {path.name for path in directory.iterdir()}

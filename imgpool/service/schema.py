"""The tables of `imgpool.db`, as the steps in which they came to be: one step for each schema version.

A new file goes through all of them and an older one through those it lacks, so both end with the same tables. A step
that was released is never changed; what is new is appended.
"""

from __future__ import annotations

import sqlite3

from imgpool.service.records import StoreError

_FIRST = """
CREATE TABLE images (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'processing', 'done', 'failed')),
    bytes INTEGER NOT NULL,
    format TEXT NOT NULL,
    width INTEGER,
    height INTEGER,
    received_at REAL NOT NULL,
    started_at REAL,
    finished_at REAL,
    wait_s REAL,
    service_s REAL,
    attempts INTEGER NOT NULL DEFAULT 0,
    error TEXT,
    variants TEXT NOT NULL DEFAULT '[]'
);
CREATE INDEX images_by_state ON images (state, sequence);
CREATE INDEX images_by_end ON images (finished_at) WHERE finished_at IS NOT NULL;
CREATE TABLE counts (name TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO counts VALUES
    ('accepted', 0), ('queued', 0), ('processing', 0), ('done', 0), ('failed', 0), ('deleted', 0);
CREATE TRIGGER count_added AFTER INSERT ON images BEGIN
    UPDATE counts SET n = n + 1 WHERE name IN ('accepted', NEW.state);
END;
CREATE TRIGGER count_moved AFTER UPDATE OF state ON images WHEN OLD.state <> NEW.state BEGIN
    UPDATE counts SET n = n - 1 WHERE name = OLD.state;
    UPDATE counts SET n = n + 1 WHERE name = NEW.state;
END;
CREATE TRIGGER count_deleted AFTER DELETE ON images BEGIN
    UPDATE counts SET n = n - 1 WHERE name = OLD.state;
    UPDATE counts SET n = n + 1 WHERE name = 'deleted';
END;
"""

# Whose an image is. Partial indexes: a server without owners does not pay for them at each upload.
_OWNERS = """
ALTER TABLE images ADD COLUMN owner TEXT;
CREATE INDEX images_by_owner ON images (owner, sequence) WHERE owner IS NOT NULL;
CREATE INDEX images_by_owner_and_state ON images (owner, state, sequence) WHERE owner IS NOT NULL;
"""

STEPS = (_FIRST, _OWNERS)


def bring_up_to_date(db: sqlite3.Connection, path: str) -> None:
    """Make, or complete, the tables. Each step is one transaction: a crash in between costs nothing.

    Blocks on the disk. Raises sqlite3.Error, or `StoreError` for a file that a later imgpool wrote.
    """
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if not 0 <= version <= len(STEPS):
        raise StoreError(
            f"{path} was written by another version of imgpool (schema {version}, this one knows up to "
            f"{len(STEPS)}): use that version, or another data directory"
        )
    for number, step in enumerate(STEPS[version:], start=version + 1):
        db.executescript(f"BEGIN IMMEDIATE;{step}PRAGMA user_version = {number};COMMIT;")

"""What tests of the scale-out share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hosts import Witness
from imgpool.scaleout.database import Database
from servers.redis import Redis


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    database.open()
    yield database
    database.close()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    """A broker that keeps nothing on disk."""
    with Redis(tmp_path) as server:
        yield server


@pytest.fixture
def shared(tmp_path: Path) -> str:
    """Files in a directory that all hosts see."""
    (tmp_path / "shared").mkdir()
    return f"file://{tmp_path / 'shared'}"


@pytest.fixture
def witness(database_url: str) -> Witness:
    return Witness(database_url)

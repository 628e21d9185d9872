"""What tests of the scale-out share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from imgpool.scaleout.database import Database


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    database.open()
    yield database
    database.close()

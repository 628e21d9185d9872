"""What tests of the service share."""

from __future__ import annotations

import pytest

from doubles import WAIT_S
from imgpool.service import pool_engine


@pytest.fixture
def hand_back_takes_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop waits for workers that hand back for a moment; who has not by then is taken up all the same, counted."""
    monkeypatch.setattr(pool_engine, "HAND_BACK_S", WAIT_S)

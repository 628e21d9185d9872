"""A Flask client on a started service."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from doubles import Watching
from imgpool.web import create_app
from webclient import Web


@pytest.fixture
def web(start: Callable[..., Watching]) -> Callable[..., Web]:
    """Makes a client on a service with these settings. An error of ours is a 500, as in production."""

    def make(**given: Any) -> Web:
        service = start(**given)
        return Web(create_app(service.settings, service).test_client(), service)

    return make

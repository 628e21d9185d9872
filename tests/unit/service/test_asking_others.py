"""An engine that asks another machine for places: the thread at the door refuses what it knows, and never waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from imgpool.config import Settings
from imgpool.errors import Draining, NoRoom, Refused, StoreFailed
from imgpool.pool import JobSlot, PoolClosed, PoolFull
from imgpool.service import Service, StoreError
from imgpool.service.backend import Embedded
from imgpool.service.clock import Clock
from imgpool.service.engine import Engine
from imgpool.service.measures import Measures
from imgpool.service.pool_engine import PoolEngine
from imgpool.service.stores import Stores
from imgpool.service.workshop import Workshop


class Asking(PoolEngine):
    """Asks itself, and remembers what it is told to know."""

    asks_others = True
    known: Exception | None = None
    asked = 0

    def try_reserve(self, image_id: str) -> JobSlot[str]:
        self.asked += 1
        return super().try_reserve(image_id)

    def refuse_what_is_known(self) -> None:
        if self.known is not None:
            raise self.known


class Elsewhere(Embedded):
    """Its engine is `Asking`."""

    made: Asking

    def engine(self, stores: Stores, workshop: Workshop, measures: Measures, clock: Clock) -> Engine:
        engine = super().engine(stores, workshop, measures, clock)
        assert isinstance(engine, PoolEngine)
        engine.__class__ = Asking
        assert isinstance(engine, Asking)
        self.made = engine
        return engine


@pytest.fixture
def backend(settings: Callable[..., Settings]) -> Elsewhere:
    return Elsewhere(settings())


@pytest.fixture
def service(settings: Callable[..., Settings], backend: Elsewhere) -> Iterator[Service]:
    service = Service(settings(), backend=backend)
    service.start()
    yield service
    service.stop(10)


def test_nothing_is_asked_at_the_door(service: Service, backend: Elsewhere) -> None:
    assert service.admit_at_once() is None
    assert backend.made.asked == 0
    service.admit().discard()
    assert backend.made.asked == 1


@pytest.mark.parametrize(
    ("known", "refused"), [(PoolFull(""), NoRoom), (StoreError("away"), StoreFailed), (PoolClosed(""), Draining)]
)
def test_what_is_known_is_refused_at_the_door(
    service: Service, backend: Elsewhere, known: Exception, refused: type[Refused]
) -> None:
    backend.made.known = known
    with pytest.raises(refused) as told:
        service.admit_at_once()
    assert told.value.retry_after_s
    assert backend.made.asked == 0


def test_an_engine_of_this_process_is_asked_at_the_door(settings: Callable[..., Settings]) -> None:
    service = Service(settings(queue_capacity=1))
    service.start()
    try:
        held = service.admit_at_once()
        assert held is not None
        with pytest.raises(NoRoom):
            service.admit_at_once()
        held.discard()
    finally:
        service.stop(10)

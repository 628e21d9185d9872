"""/metrics, read by the library that Prometheus users read it with."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client.parser import text_string_to_metric_families

from imgpool.web.metrics import COUNTERS, GAUGES
from webclient import Web


def scraped(site: Web) -> dict[str, dict[str, float]]:
    """Samples by metric and label's value."""
    answer = site.client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(answer.text):
        assert family.documentation, family.name
        for sample in family.samples:
            found.setdefault(sample.name, {})["".join(sample.labels.values())] = sample.value
    return found


def test_the_numbers_are_those_of_the_status(web: Callable[..., Web], images: dict[str, bytes]) -> None:
    site = web(queue_capacity=2)
    for name in ("jpeg", "truncated", "text", "bomb", "text"):
        site.raw(images[name])
        site.service.settled()
    site.service.until(lambda: site.service.measures.snapshot().done + site.service.measures.snapshot().failed == 2)
    held = [site.service.admit() for _ in range(2)]
    site.raw(images["jpeg"])
    told, found = site.status(), scraped(site)
    assert found["imgpool_uploads_accepted_total"] == {"": told["since_start"]["accepted"]} == {"": 2}
    assert found["imgpool_uploads_refused_total"] == told["refused_by"]
    assert told["refused_by"] == {"unsupported_format": 2, "header_over_limit": 1, "no_room": 1}
    assert found["imgpool_images_done_total"] == {"": 1}
    assert found["imgpool_images_failed_total"] == {"": 1}
    assert found["imgpool_images"] == told["counts"]
    assert found["imgpool_accepting"] == {"": 0}
    assert found["imgpool_workers"] == {"": told["pool"]["workers"]}
    assert found["imgpool_workers_busy"] == {"": 0}
    queue = told["pool"]["queue"]
    assert found["imgpool_queue_capacity"] == {"": queue["capacity"]} == {"": 2}
    assert found["imgpool_queue_buffered"] == {"": 0}
    assert found["imgpool_queue_reserved"] == {"": queue["reserved"]} == {"": 2}
    assert found["imgpool_wait_seconds"].keys() == {"0.5", "0.99"}
    assert abs(found["imgpool_service_seconds"]["0.5"] - told["service_s"]["p50"]) < 0.001
    for slot in held:
        slot.discard()
    assert scraped(site)["imgpool_accepting"] == {"": 1}


def test_every_metric_is_told_and_has_its_words(web: Callable[..., Web], images: dict[str, bytes]) -> None:
    site = web()
    quiet = scraped(site)
    assert "imgpool_wait_estimate_seconds" not in quiet, "not known before the first image"
    site.done(images["tiny"])
    site.raw(images["text"])
    site.service.until(lambda: site.service.measures.snapshot().done == 1)
    assert set(scraped(site)) == {f"{name}_total" for name in COUNTERS} | set(GAUGES)


def test_memory_and_cpu_of_the_server_are_told(web: Callable[..., Web]) -> None:
    found = scraped(web())
    assert found["imgpool_memory_bytes"][""] > 20 * 1024**2
    assert found["imgpool_cpu_seconds_total"][""] > 0.01

"""The status as Prometheus metrics: one snapshot, so that the numbers of one scrape add up."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from imgpool.service import Status
from imgpool.service.usage import Usage

COUNTERS = {
    "imgpool_uploads_accepted": "Uploads accepted since the start",
    "imgpool_uploads_refused": "Uploads refused since the start, by reason",
    "imgpool_images_done": "Images processed since the start",
    "imgpool_images_failed": "Images failed since the start",
    "imgpool_cpu_seconds": "CPU time of the server and its decoder children since the start",
}
GAUGES = {
    "imgpool_accepting": "1 when an upload would be taken now",
    "imgpool_workers": "Worker threads of the pool",
    "imgpool_workers_busy": "Workers that process an image now",
    "imgpool_queue_capacity": "Places in the jobs channel",
    "imgpool_queue_buffered": "Image IDs waiting in the jobs channel",
    "imgpool_queue_reserved": "Places held by uploads that are being received",
    "imgpool_results_buffered": "Results waiting for the collector",
    "imgpool_decode_memory_budget_bytes": "Memory budget of all decoding together",
    "imgpool_decode_memory_shared_bytes": "Part of the budget that images share which need more than a worker's own",
    "imgpool_decode_memory_in_use_bytes": "Part of the shared memory that is in use now, by estimate",
    "imgpool_images_waiting_for_memory": "Queued images that wait because the first of them does not fit",
    "imgpool_images": "Images in the records, by state; `accepted` and `deleted` over the data directory's life",
    "imgpool_wait_estimate_seconds": "Expected wait of an image that is queued now",
    "imgpool_oldest_wait_seconds": "Age of the oldest queued image",
    "imgpool_wait_seconds": "Wait in the queue of the last 1000 images, by quantile",
    "imgpool_service_seconds": "Processing time of the last 1000 images, by quantile",
    "imgpool_unfinished_uploads": "Resumable uploads that are unfinished",
    "imgpool_unfinished_bytes": "Bytes that those have together, as announced",
    "imgpool_disk_free_bytes": "Free space for originals and variants",
    "imgpool_memory_bytes": "Resident memory of the server and its decoder children",
    "imgpool_uptime_seconds": "Time since the start",
}


class _Snapshot(Collector):
    def __init__(self, status: Status, used: Usage | None) -> None:
        self._status = status
        self._usage = used

    def collect(self) -> Iterable[Metric]:
        status, measured, counts = self._status, self._status.measured, self._status.counts
        usage = self._usage
        counters: tuple[tuple[str, float | None], ...] = (
            ("imgpool_uploads_accepted", measured.accepted),
            ("imgpool_images_done", measured.done),
            ("imgpool_images_failed", measured.failed),
            ("imgpool_cpu_seconds", usage.cpu_s if usage else None),
        )
        for name, value in counters:
            if value is not None:
                yield CounterMetricFamily(name, COUNTERS[name], value=value)
        refused = CounterMetricFamily("imgpool_uploads_refused", COUNTERS["imgpool_uploads_refused"], labels=["reason"])
        for reason, number in sorted(measured.refused_by.items()):
            refused.add_metric([reason], number)
        yield refused
        gauges: tuple[tuple[str, float | None], ...] = (
            ("imgpool_accepting", float(status.accepting)),
            ("imgpool_workers", status.workers),
            ("imgpool_workers_busy", status.busy),
            ("imgpool_queue_capacity", status.queue.capacity),
            ("imgpool_queue_buffered", status.queue.buffered),
            ("imgpool_queue_reserved", status.queue.reserved),
            ("imgpool_results_buffered", status.results.buffered),
            ("imgpool_decode_memory_budget_bytes", status.memory.budget_bytes),
            ("imgpool_decode_memory_shared_bytes", status.memory.shared_bytes),
            ("imgpool_decode_memory_in_use_bytes", status.memory.in_use_bytes),
            ("imgpool_images_waiting_for_memory", status.memory.waiting),
            ("imgpool_wait_estimate_seconds", status.wait_estimate_s),
            ("imgpool_oldest_wait_seconds", status.oldest_wait_s),
            ("imgpool_unfinished_uploads", status.unfinished.uploads),
            ("imgpool_unfinished_bytes", status.unfinished.bytes),
            ("imgpool_disk_free_bytes", status.free_bytes),
            ("imgpool_memory_bytes", usage.memory_bytes if usage else None),
            ("imgpool_uptime_seconds", status.uptime_s),
        )
        for name, gauge in gauges:
            if gauge is not None:
                yield GaugeMetricFamily(name, GAUGES[name], value=gauge)
        images = GaugeMetricFamily("imgpool_images", GAUGES["imgpool_images"], labels=["state"])
        for state in ("accepted", "queued", "processing", "done", "failed", "deleted"):
            images.add_metric([state], getattr(counts, state))
        yield images
        for name, percentiles in (
            ("imgpool_wait_seconds", measured.wait_s),
            ("imgpool_service_seconds", measured.service_s),
        ):
            family = GaugeMetricFamily(name, GAUGES[name], labels=["quantile"])
            for quantile, seconds in (("0.5", percentiles.p50), ("0.99", percentiles.p99)):
                if seconds is not None:
                    family.add_metric([quantile], seconds)
            yield family


def metrics_text(status: Status, used: Usage | None) -> tuple[bytes, str]:
    """The exposition text and its content type."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Snapshot(status, used))
    return generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4

"""Images and status as the JSON that API, pages and scripts read. Adding a key is fine, renaming one is not."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from imgpool.service import ImageRecord, Service, Status
from imgpool.service.history import Sample


def image_json(image: ImageRecord) -> dict[str, Any]:
    """One image as `GET /api/images/ID` tells it."""
    return {
        "id": image.id,
        "name": image.name,
        "state": image.state,
        "bytes": image.bytes,
        "format": image.format,
        "width": image.width,
        "height": image.height,
        "received_at": timestamp(image.received_at),
        "started_at": timestamp(image.started_at),
        "finished_at": timestamp(image.finished_at),
        "wait_s": rounded(image.wait_s),
        "service_s": rounded(image.service_s),
        "attempts": image.attempts,
        "error": image.error,
        "url": image_url(image.id),
        "cursor": str(image.sequence),
        "variants": [
            {
                "name": variant.name,
                "width": variant.width,
                "height": variant.height,
                "bytes": variant.bytes,
                "format": variant.format,
                "url": f"{image_url(image.id)}/{variant.name}",
            }
            for variant in image.variants
        ],
    }


def status_json(status: Status, service: Service) -> dict[str, Any]:
    """The whole service as `GET /api/status` tells it."""
    measured, queue = status.measured, status.queue
    settings = service.settings
    return {
        "accepting": status.accepting,
        "reason": status.reason,
        "pool": {
            "workers": status.workers,
            "busy": status.busy,
            "paused": status.paused,
            "most_workers": status.most_workers,
            "queue": {"capacity": queue.capacity, "buffered": queue.buffered, "reserved": queue.reserved},
            "results": {"capacity": status.results.capacity, "buffered": status.results.buffered},
            "memory": {
                "budget_bytes": status.memory.budget_bytes,
                "shared_bytes": status.memory.shared_bytes,
                "in_use_bytes": status.memory.in_use_bytes,
                "waiting": status.memory.waiting,
            },
            "lanes": [
                {
                    "worker": lane.worker,
                    "busy": lane.for_s is not None,
                    "image": lane.image,
                    "for_s": rounded(lane.for_s),
                }
                for lane in status.lanes
            ],
            "why": service.workshop.choice.reason,
        },
        "peers": [
            {
                "name": peer.name,
                "kind": peer.kind,
                "host": peer.host,
                "pid": peer.pid,
                "alive": peer.alive,
                "silent_s": rounded(peer.silent_s),
                "up_s": rounded(peer.up_s),
                "image": peer.image,
                "queue_capacity": peer.queue_capacity,
            }
            for peer in status.peers
        ],
        "counts": {
            "accepted": status.counts.accepted,
            "queued": status.counts.queued,
            "processing": status.counts.processing,
            "done": status.counts.done,
            "failed": status.counts.failed,
            "deleted": status.counts.deleted,
        },
        "since_start": {
            "received": measured.received,
            "accepted": measured.accepted,
            "refused": measured.refused,
        },
        "refused_by": measured.refused_by,
        "refusals": [
            {"at": timestamp(each.at), "reason": each.reason, "count": each.count} for each in measured.recent_refusals
        ],
        "rates": {
            "arrivals_per_s": rounded(measured.arrivals_per_s),
            "done_per_s": rounded(measured.done_per_s),
        },
        "wait_s": {
            "estimate": rounded(status.wait_estimate_s),
            "oldest": rounded(status.oldest_wait_s),
            "p50": rounded(measured.wait_s.p50),
            "p99": rounded(measured.wait_s.p99),
        },
        "service_s": {"p50": rounded(measured.service_s.p50), "p99": rounded(measured.service_s.p99)},
        "retrying": {"active": status.retrying.active, "images": status.retrying.images},
        "unfinished": {
            "uploads": status.unfinished.uploads,
            "announced_bytes": status.unfinished.bytes,
            "slots": status.unfinished.slots,
        },
        "disk": {"free_bytes": whole_mib(status.free_bytes), "floor_bytes": settings.disk_floor_bytes},
        "limits": {
            "max_upload_bytes": settings.max_upload_bytes,
            "max_request_bytes": settings.max_request_bytes,
            "max_files": settings.max_files,
            "max_pixels": settings.max_pixels,
            "job_timeout_s": settings.job_timeout_s,
            "job_memory_bytes": settings.job_memory_bytes,
            "max_attempts": settings.max_attempts,
            "min_upload_bytes_per_s": settings.min_upload_bytes_per_s,
            "unfinished_slot_s": settings.unfinished_slot_s,
            "unfinished_expire_s": settings.unfinished_expire_s,
            "max_unfinished_uploads": settings.max_unfinished_uploads,
            "max_unfinished_bytes": settings.max_unfinished_bytes,
            "drain_timeout_s": settings.drain_timeout_s,
            "isolation": settings.isolation,
        },
        "uptime_s": round(status.uptime_s),
    }


def history_json(samples: list[Sample]) -> dict[str, Any]:
    """Samples as columns, as `GET /api/history` tells them: a third of the size of as many objects."""
    names = [field.name for field in fields(Sample)]
    return {"samples": {name: [_short(getattr(sample, name)) for sample in samples] for name in names}}


def _short(number: float | None) -> float | None:
    return rounded(number) if isinstance(number, float) else number


def image_url(image_id: str) -> str:
    """Where the API has this image."""
    return f"/api/images/{image_id}"


def timestamp(moment: float | None) -> str | None:
    """RFC 3339 in UTC, to the millisecond."""
    if moment is None:
        return None
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def rounded(number: float | None) -> float | None:
    """To the millisecond: what is beyond is noise."""
    return None if number is None else round(number, 3)


def whole_mib(number: int | None) -> int | None:
    """Down to a whole MiB: every log line of the machine changes the rest, and would spoil each ETag."""
    return None if number is None else number >> 20 << 20

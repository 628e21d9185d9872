"""From what happened to numbers: totals, percentiles, a timeline, and whether the client was fast enough to tell.

Pure arithmetic on a finished `Record`; everything is plain values that JSON can carry.
"""

from __future__ import annotations

import errno
import math
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from imgpool.load.plan import Plan
from imgpool.load.record import Record

CLIENT_CPU_LIMIT = 0.85  # of the one core that this client can use
LATE_LIMIT_S = 0.1
OWN_LIMITS = {
    errno.EMFILE: "it had no file descriptor left (ulimit -n)",
    errno.EADDRNOTAVAIL: "its system had no port left for a connection",
}


def summarise(record: Record, plan: Plan, *, url: str, clients: list[str], images: list[str]) -> dict[str, Any]:
    """The result of a load test. Times in seconds."""
    kinds = Counter(each.answer.kind for each in record.tries)
    ends = Counter(each.end for each in record.images)
    accepted = [each for each in record.tries if each.answer.kind == "accepted"]
    refused = [each for each in record.tries if each.answer.kind == "refused"]
    done = [each for each in record.images if each.end == "done" and each.ended_s is not None]
    lasted = min(plan.duration_s, record.interrupted_s or plan.duration_s)
    in_time = sum(1 for each in done if each.ended_s is not None and each.ended_s <= lasted)
    return {
        "url": url,
        "plan": {**asdict(plan), "text": str(plan), "duration_s": plan.duration_s},
        "interrupted_s": record.interrupted_s,
        "clients": clients,
        "images": images,
        "uploads": {"due": len(record.arrivals), "accepted": len(accepted), "gave_up": record.gave_up},
        "answers": {kind: kinds[kind] for kind in ("accepted", "refused", "reset", "unanswered", "unreachable")},
        "refused_by": dict(Counter(each.answer.reason or "?" for each in refused).most_common()),
        "trouble": dict(
            Counter(
                f"{each.answer.kind}: {each.answer.reason}"
                for each in record.tries
                if each.answer.kind not in ("accepted", "refused")
            ).most_common(10)
        ),
        "ended": {end: ends[end] for end in ("done", "failed", "lost", "unfinished")},
        "failures": dict(Counter(each.error for each in record.images if each.error).most_common(10)),
        "goodput_per_s": in_time / lasted if lasted else 0.0,
        "latency_s": {
            "refusal": percentiles(each.ended_s - each.due_s for each in refused),
            "acceptance": percentiles(each.ended_s - each.due_s for each in accepted),
            "end_to_end": percentiles(each.ended_s - each.due_s for each in done if each.ended_s is not None),
        },
        "sent_bytes": sum(each.answer.sent_bytes for each in record.tries),
        "timeline": timeline(record, plan),
        "server": [asdict(each) for each in record.server],
        "client": client(record, plan),
    }


def percentiles(values: Iterable[float]) -> dict[str, float | int | None]:
    """p50, p90, p99 and max by nearest rank: each is a value that was measured."""
    ordered = sorted(values)

    def rank(share: float) -> float | None:
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None

    return {"count": len(ordered), "p50": rank(0.5), "p90": rank(0.9), "p99": rank(0.99), "max": rank(1.0)}


def timeline(record: Record, plan: Plan) -> dict[str, Any]:
    """Events per second, in buckets of `bucket_s`: of due, accepted, refused, done, and trouble."""
    moments = {
        "due": list(record.arrivals),
        "accepted": [each.ended_s for each in record.tries if each.answer.kind == "accepted"],
        "refused": [each.ended_s for each in record.tries if each.answer.kind == "refused"],
        "done": [each.ended_s for each in record.images if each.end == "done" and each.ended_s is not None],
        "trouble": [each.ended_s for each in record.tries if each.answer.kind not in ("accepted", "refused")],
    }
    last = max([plan.duration_s, *(at for each in moments.values() for at in each)])
    bucket_s = 0.5 if plan.duration_s <= 20 else 1.0 if plan.duration_s <= 300 else 10.0
    buckets = int(last // bucket_s) + 1
    per_s: dict[str, list[float]] = {}
    for name, at in moments.items():
        counted = Counter(int(each // bucket_s) for each in at)
        per_s[name] = [counted[bucket] / bucket_s for bucket in range(buckets)]
    return {"bucket_s": bucket_s, "per_s": per_s}


def client(record: Record, plan: Plan) -> dict[str, Any]:
    """Whether this client was the bottleneck, and why. One that runs at the limit of its core measures itself."""
    during = [each.cpu for each in record.client if each.at_s <= plan.duration_s]
    late = percentiles(max(0.0, each.began_s - each.due_s) for each in record.tries)
    cpu = max((sum(during[at : at + 2]) / len(during[at : at + 2]) for at in range(len(during))), default=0.0)
    why: list[str] = []
    if cpu > CLIENT_CPU_LIMIT:
        why.append(f"it used {cpu:.0%} of the one core it can use")
    if late["p99"] is not None and late["p99"] > LATE_LIMIT_S:
        why.append(f"one in a hundred uploads began {late['p99']:.2f} s late or later")
    planned = sum(1 for _ in plan.arrivals()) if plan.unit == "arrivals/s" else 0
    if planned > len(record.arrivals) and record.interrupted_s is None:
        why.append(f"{planned - len(record.arrivals)} of {planned} arrivals were never begun")
    for number, means in OWN_LIMITS.items():
        if met := sum(1 for each in record.tries if each.answer.reason == os.strerror(number)):
            why.append(f"{met} times {means}")
    return {
        "bottleneck": bool(why),
        "why": why,
        "cpu_max": cpu,
        "late_s": late,
        "samples": [asdict(each) for each in record.client],
    }

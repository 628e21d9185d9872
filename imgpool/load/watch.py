"""Looks at the server and at this client twice a second: queue, memory, CPU. Both are part of the result."""

from __future__ import annotations

import http.client
import json
import os
import re
import time
from typing import Any

from imgpool.load.record import ClientSample, Record, ServerSample
from imgpool.load.target import Target

EVERY_S = 0.5
# imgpool counts its decoder children in; what every Prometheus client tells covers its own process alone.
MEMORY = ("imgpool_memory_bytes", "process_resident_memory_bytes")
CPU = ("imgpool_cpu_seconds_total", "process_cpu_seconds_total")


class Watch:
    """`run` is for one greenlet."""

    def __init__(self, target: Target, record: Record) -> None:
        self._target, self._record = target, record
        self._connection = target.connect(5)
        self._cpu: tuple[float, float] | None = None
        self._own = (record.now(), _own_cpu_s())

    def run(self) -> None:
        """Look until killed. A server that does not answer leaves a gap."""
        while True:
            began = time.monotonic()
            self.look_at_client()
            try:
                self.look_at_server()
            except (OSError, http.client.HTTPException, ValueError):
                self._cpu = None
            time.sleep(max(0.05, EVERY_S - (time.monotonic() - began)))

    def look_at_client(self) -> None:
        """Write down this process's own CPU use since the last look."""
        now, cpu_s = self._record.now(), _own_cpu_s()
        before_s, before_cpu_s = self._own
        if now > before_s:
            used = (cpu_s - before_cpu_s) / (now - before_s)
            self._record.client.append(ClientSample(now, used, self._record.under_way))
        self._own = (now, cpu_s)

    def look_at_server(self) -> None:
        """Ask for the status and the metrics. Raises as `Target.get`, ValueError for an answer that is no JSON."""
        status, body = self._target.get(self._connection, "/api/status")
        told: dict[str, Any] = json.loads(body) if status == 200 else {}
        status, text = self._target.get(self._connection, "/metrics")
        metrics = _metrics(text.decode(errors="replace")) if status == 200 else {}
        now = self._record.now()
        pool = told.get("pool", {})
        queue = pool.get("queue", {})
        memory = _first(metrics, MEMORY)
        cpu_s = _first(metrics, CPU)
        cpu = None
        if cpu_s is not None:
            if self._cpu is not None and now > self._cpu[0]:
                cpu = max(0.0, (cpu_s - self._cpu[1]) / (now - self._cpu[0]))
            self._cpu = (now, cpu_s)
        self._record.server.append(
            ServerSample(
                now,
                queue["buffered"] + queue["reserved"] if queue else told.get("in_flight"),
                queue.get("capacity"),
                pool.get("busy"),
                told.get("memory_bytes") if memory is None else int(memory),
                cpu,
            )
        )

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()


def _metrics(text: str) -> dict[str, float]:
    """The metrics without labels."""
    return {name: float(value) for name, value in re.findall(r"^([a-z_]+) ([0-9.e+-]+)$", text, re.MULTILINE)}


def _first(metrics: dict[str, float], names: tuple[str, ...]) -> float | None:
    return next((metrics[name] for name in names if name in metrics), None)


def _own_cpu_s() -> float:
    times = os.times()
    return times.user + times.system

"""What a bench run says: its lines, the ratios in words, what to change, JSON. Pure text; measures nothing."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Measured:
    """One part: wall and CPU seconds for so many images. `decoders_cpu_s` is the share of the service's children."""

    name: str
    images: int
    wall_s: float
    cpu_s: float
    decoders_cpu_s: float | None = None

    @property
    def per_s(self) -> float:
        """Images a second."""
        return self.images / self.wall_s

    @property
    def cpu_ms(self) -> float:
        """Milliseconds of CPU an image."""
        return 1000 * self.cpu_s / self.images


@dataclass(frozen=True)
class Bench:
    """All parts, the seconds to `serving on`, the status that the server told, and how busy the machine was before."""

    codecs: Measured
    pipeline: Measured
    pipeline_threads: Measured
    pipeline_processes: Measured
    service: Measured
    service_workers: Measured
    full_queue: Measured
    full_queue_workers: Measured
    workers: int
    start_s: float
    why: str
    others_cpu: float
    accept_p50_s: float
    client_cpu_s: float  # of the client, while `service_workers` was measured

    @property
    def ratios(self) -> dict[str, float]:
        """What is compared, by a name that says it."""
        return {
            "pipeline_cpu_by_codecs_cpu": self.pipeline.cpu_ms / self.codecs.cpu_ms,
            "service_cpu_by_pipeline_cpu": self.service.cpu_ms / self.pipeline.cpu_ms,
            "service_workers_by_one_worker": self.service_workers.per_s / self.service.per_s,
            "full_queue_workers_by_one_worker": self.full_queue_workers.per_s / self.full_queue.per_s,
            "pipeline_processes_by_one_process": self.pipeline_processes.per_s / self.pipeline.per_s,
            "service_goodput_by_pipeline_threads": self.service_workers.per_s / self.pipeline_threads.per_s,
            "full_queue_goodput_by_pipeline_threads": self.full_queue_workers.per_s / self.pipeline_threads.per_s,
        }


def line(measured: Measured) -> str:
    """One part as a line of the table."""
    split = ""
    if measured.decoders_cpu_s is not None:
        rest = 1000 * (measured.cpu_s - measured.decoders_cpu_s) / measured.images
        split = f"   of which receiving, storing, recording {rest:.1f} ms"
    return (
        f"{measured.name:<26}{measured.per_s:8.1f} images/s{1000 / measured.per_s:9.1f} ms wall"
        f"{measured.cpu_ms:9.1f} ms CPU{split}"
    )


def conclusions(bench: Bench) -> list[str]:
    """The ratios in words, and what to change on this machine."""
    ratios = bench.ratios
    lines = [
        f"the pipeline takes {ratios['pipeline_cpu_by_codecs_cpu']:.2f} times the CPU of the codecs alone",
        f"the service takes {ratios['service_cpu_by_pipeline_cpu']:.2f} times the CPU of the bare pipeline",
        f"the server serves {bench.start_s:.2f} s after its start; "
        f"a 202 takes {1000 * bench.accept_p50_s:.0f} ms in the median",
        f"workers: {bench.workers} ({bench.why})",
    ]
    if bench.workers > 1:
        many = f"{bench.workers} workers finish"
        client_ms = 1000 * bench.client_cpu_s / bench.service_workers.images
        lines[2:2] = [
            f"out of a full queue {many} {ratios['full_queue_workers_by_one_worker']:.2f} times as many images as one; "
            f"{bench.workers} bare processes {ratios['pipeline_processes_by_one_process']:.2f} times as many as one, "
            "which is what this machine can do",
            f"out of a full queue {many} {ratios['full_queue_goodput_by_pipeline_threads']:.2f} times as many images "
            f"as the bare pipeline on {bench.workers} threads",
            f"with this client on the same CPUs, where it takes {client_ms:.1f} ms an image, these are "
            f"{ratios['service_workers_by_one_worker']:.2f} and "
            f"{ratios['service_goodput_by_pipeline_threads']:.2f} times",
        ]
    return lines + [f"to change: {each}" for each in advice(bench)]


def advice(bench: Bench) -> list[str]:
    """What would make this machine faster, as far as the run shows it."""
    found = []
    if bench.others_cpu > 0.2:
        found.append(f"other programs used {bench.others_cpu:.1f} CPUs before the run: repeat it on a quiet machine")
    if bench.workers > 1 and bench.ratios["pipeline_processes_by_one_process"] < 0.8 * bench.workers:
        found.append(
            f"{bench.workers} bare processes are little faster than one: the CPUs are busy with something else, or "
            "share cores"
        )
    if bench.accept_p50_s > 0.1:
        found.append("the disk of the data directory is slow to sync; uploads wait for it")
    if bench.ratios["service_cpu_by_pipeline_cpu"] > 1.5:
        found.append("for images this small, receiving costs as much as processing: send several in one request")
    return found


def to_json(bench: Bench) -> str:
    """Everything as JSON, the ratios with it."""
    return json.dumps({**asdict(bench), "ratios": bench.ratios, "advice": advice(bench)}, indent=1)


def counted(number: int, what: str, many: str = "") -> str:
    """A number with its noun."""
    return f"{number} {what if number == 1 else many or what + 's'}"

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
    service: Measured
    service_workers: Measured
    workers: int
    start_s: float
    why: str
    others_cpu: float
    accept_p50_s: float

    @property
    def ratios(self) -> dict[str, float]:
        """What is compared, by a name that says it."""
        return {
            "pipeline_cpu_by_codecs_cpu": self.pipeline.cpu_ms / self.codecs.cpu_ms,
            "service_cpu_by_pipeline_cpu": self.service.cpu_ms / self.pipeline.cpu_ms,
            "service_workers_by_one_worker": self.service_workers.per_s / self.service.per_s,
            "service_goodput_by_pipeline_threads": self.service_workers.per_s / self.pipeline_threads.per_s,
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
        lines[2:2] = [
            f"{bench.workers} workers finish {ratios['service_workers_by_one_worker']:.2f} times as many images as one",
            f"{bench.workers} workers finish {ratios['service_goodput_by_pipeline_threads']:.2f} times as many images "
            f"as the bare pipeline on {bench.workers} threads (this client is on the same CPUs)",
        ]
    return lines + [f"to change: {each}" for each in advice(bench)]


def advice(bench: Bench) -> list[str]:
    """What would make this machine faster, as far as the run shows it."""
    found = []
    if bench.others_cpu > 0.2:
        found.append(f"other programs used {bench.others_cpu:.1f} CPUs before the run: repeat it on a quiet machine")
    if bench.workers > 1 and bench.ratios["service_workers_by_one_worker"] < 0.7 * bench.workers:
        found.append(
            f"{bench.workers} workers are little faster than one: the CPUs are busy with something else, or share cores"
        )
    if bench.accept_p50_s > 0.1:
        found.append("the disk of the data directory is slow to sync; uploads wait for it")
    if bench.ratios["service_cpu_by_pipeline_cpu"] > 1.5:
        found.append("for images this small, receiving costs as much as processing: send several in one request")
    return found


def to_json(bench: Bench) -> str:
    """Everything as JSON, the ratios with it."""
    return json.dumps({**asdict(bench), "ratios": bench.ratios, "advice": advice(bench)}, indent=1)

"""A load test in the terminal: one live line while it runs, and the result as a table of text."""

from __future__ import annotations

import sys
from typing import Any, TextIO

from imgpool.load.record import Record

LINE_EVERY_S = 5.0
LIVE_EVERY_S = 0.25


class Progress:
    """Shows how a test gets on: on a terminal one line that is rewritten, else a line every five seconds."""

    def __init__(self, out: TextIO = sys.stderr) -> None:
        self._out = out
        self._live = out.isatty()
        self._due_s = 0.0
        self._width = 0

    def __call__(self, record: Record, waiting: int) -> None:
        """Show the present state, if it is time to."""
        now = record.now()
        if now < self._due_s:
            return
        self._due_s = now + (LIVE_EVERY_S if self._live else LINE_EVERY_S)
        line = self._line(record, waiting, now)
        self._out.write(f"\r{line:<{self._width}}" if self._live else f"{line}\n")
        self._width = len(line)
        self._out.flush()

    def _line(self, record: Record, waiting: int, now: float) -> str:
        accepted = len(record.images)
        refused = sum(1 for each in record.tries if each.answer.kind == "refused")
        ended = sum(1 for each in record.images if each.end is not None)
        parts = [
            f"{now:4.0f} s",
            f"due {len(record.arrivals)}",
            f"under way {record.under_way}",
            f"accepted {accepted}",
            f"refused {refused}",
            f"ended {ended}",
        ]
        if trouble := len(record.tries) - accepted - refused:
            parts.append(f"without an answer {trouble}")
        if record.server:
            last = record.server[-1]
            if last.queue is not None:
                parts.append(f"queue {last.queue}" + (f"/{last.capacity}" if last.capacity else ""))
            if last.memory_bytes is not None:
                parts.append(f"memory {last.memory_bytes >> 20} MiB")
        return " · ".join(parts)

    def end(self) -> None:
        """Leave the live line."""
        if self._live and self._width:
            self._out.write("\n")


def seconds(value: float | None) -> str:
    """A time as people read it."""
    if value is None:
        return "-"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s" if value < 100 else f"{value:.0f} s"


def mib(value: float) -> str:
    """Bytes in MiB."""
    return f"{value / 1024**2:.0f} MiB"


def result_lines(result: dict[str, Any]) -> list[str]:
    """The result of a load test as lines of text."""
    answers, ended, uploads = result["answers"], result["ended"], result["uploads"]
    reasons = ", ".join(f"{name} {number}" for name, number in result["refused_by"].items())
    interrupted = result["interrupted_s"]
    lines = [
        f"{result['url']}: {result['plan']['text']}"
        + (f" (interrupted after {interrupted:.1f} s)" if interrupted is not None else "")
        + f"; clients {', '.join(result['clients'])}; "
        f"{len(result['images'])} images",
        f"uploads   due {uploads['due']} · accepted {uploads['accepted']} · gave up {uploads['gave_up']}",
        f"answers   accepted {answers['accepted']} · refused {answers['refused']}"
        + (f" ({reasons})" if reasons else "")
        + f" · reset {answers['reset']} · no answer {answers['unanswered']} · unreachable {answers['unreachable']}",
        f"images    done {ended['done']} · failed {ended['failed']} · lost {ended['lost']} · "
        f"unfinished {ended['unfinished']}",
        f"goodput   {result['goodput_per_s']:.1f} images/s done while the load lasted",
        "",
        f"{'':14}{'count':>8}{'p50':>10}{'p90':>10}{'p99':>10}{'max':>10}",
    ]
    for name in ("refusal", "acceptance", "end_to_end"):
        each = result["latency_s"][name]
        shown = "".join(f"{seconds(each[key]):>10}" for key in ("p50", "p90", "p99", "max"))
        lines.append(f"{name.replace('_', ' '):14}{each['count']:>8}{shown}")
    lines += ["", server_line(result["server"]), client_line(result["client"])]
    lines += [f"trouble   {number} x {what}" for what, number in result["trouble"].items()]
    lines += [f"failed    {number} x {what}" for what, number in result["failures"].items()]
    return lines


def server_line(samples: list[dict[str, Any]]) -> str:
    """The server at its fullest."""

    def most(name: str) -> Any:
        return max((each[name] for each in samples if each[name] is not None), default=None)

    told = []
    if (queue := most("queue")) is not None:
        told.append(f"queue at most {queue}" + (f" of {most('capacity')}" if most("capacity") else ""))
    if (memory := most("memory_bytes")) is not None:
        told.append(f"memory at most {mib(memory)}")
    if (cpu := most("cpu")) is not None:
        told.append(f"CPU at most {cpu:.1f}")
    return "server    " + (" · ".join(told) or "it tells nothing of itself")


def client_line(client: dict[str, Any]) -> str:
    """Whether the numbers are the server's or this client's own."""
    use = f"CPU at most {client['cpu_max']:.0%} of one core, starts late by p99 {seconds(client['late_s']['p99'])}"
    if client["bottleneck"]:
        return f"client    WAS THE BOTTLENECK: {'; '.join(client['why'])}. The server may be able to do more."
    return f"client    was not the bottleneck ({use})"

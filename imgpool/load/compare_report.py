"""The picture that explains the project, as one HTML page and one PNG from the same drawing."""

from __future__ import annotations

from html import escape
from typing import Any

from imgpool.load.bars import stacked_bars
from imgpool.load.charts import Line, light_css, line_chart, side_by_side
from imgpool.load.compare import SERVERS, TITLES, Comparison, Run, waited
from imgpool.load.report import page, table
from imgpool.load.terminal import mib

SIZE = (620, 270)
SHORT = {"imgpool": "imgpool", "thread_per_upload": "thread each", "unbounded_executor": "executor"}
PARTS = ["done", "refused, with a reason", "accepted, unfinished", "accepted, lost or failed", "no answer"]
PART_LOOKS = [2, 0, 3, 1, 4]


def picture(comparison: Comparison) -> str:
    """The four charts as one SVG."""
    return side_by_side(charts(comparison), 2, SIZE, heading(comparison), notes(comparison))


def heading(comparison: Comparison) -> str:
    """What one sees, in a line."""
    most = max(run.factor for run in comparison.runs)
    return f"The same uploads, up to {most:g} times what the machine can do, against three servers"


def notes(comparison: Comparison) -> list[str]:
    """Under what conditions it was measured."""
    limit_s = comparison.runs[0].limit_s
    killed = sorted({TITLES[run.server] for run in comparison.runs if run.killed})
    lines = [
        f"1x = {comparison.capacity_per_s:.1f} images/s, measured first. {comparison.hold_s:g} s of arrivals, then "
        f"followed for {limit_s - comparison.hold_s:g} s; what had not ended then counts as {limit_s:g} s in p99.",
        f"Client and server on the same {comparison.cpus} CPUs; each server limited to "
        f"{mib(comparison.memory_bytes)} of memory{' (killed there: ' + ', '.join(killed) + ')' if killed else ''}.",
    ]
    if any(run.client_bottleneck for run in comparison.runs):
        lines.append("In some runs the client was at its limit, too: see the table.")
    return lines


def charts(comparison: Comparison) -> list[str]:
    """Goodput, p99 to done, what became of the uploads, memory over time."""
    factors = sorted({run.factor for run in comparison.runs})
    labels = {factor: f"{factor:g}x" for factor in factors}
    most = factors[-1]

    def over_factors(value: str) -> list[Line]:
        lines = []
        for look, server in enumerate(SERVERS):
            runs = sorted((run for run in comparison.runs if run.server == server), key=lambda run: run.factor)
            lines.append(Line(SHORT[server], [(run.factor, getattr(run, value)) for run in runs], look))
        return lines

    hardest = [run for server in SERVERS for run in comparison.runs if (run.server, run.factor) == (server, most)]
    memory = [
        Line(SHORT[run.server], [(at, each / 1024**2) for at, each in run.memory], look)
        for look, run in enumerate(hardest)
    ]
    arrivals = "arrivals, times what the machine can do"
    return [
        line_chart(
            "Goodput: images done per second",
            over_factors("goodput_per_s"),
            x_name=arrivals,
            x_labels=labels,
            size=SIZE,
        ),
        line_chart(
            f"From arrival to done, p99 ({comparison.runs[0].limit_s:g} s: not yet, or never)",
            over_factors("p99_s"),
            x_name=arrivals,
            x_labels=labels,
            y_format=lambda y: f"{y:g} s",
            size=SIZE,
        ),
        stacked_bars(
            f"What became of the uploads at {most:g}x",
            [(TITLES[run.server], became(run)) for run in hardest],
            PARTS,
            PART_LOOKS,
            SIZE,
        ),
        line_chart(
            f"Memory at {most:g}x",
            memory,
            x_name="seconds",
            y_format=lambda y: f"{y:g} MiB",
            size=SIZE,
            at_least=comparison.memory_bytes / 1024**2,
        ),
    ]


def became(run: Run) -> list[int]:
    """The uploads of a run by what became of them, in the order of `PARTS`."""
    return [run.done, run.refused, run.unfinished, run.lost + run.failed, run.unanswered]


def png(svg: str) -> bytes:
    """The drawing on white paper, twice as large as it measures. Text wants a font of the system."""
    import resvg_py

    made: Any = resvg_py.svg_to_bytes(svg_string=svg, style_sheet=light_css(), zoom=2, sans_serif_family="DejaVu Sans")
    return bytes(made)


def compare_page(comparison: Comparison) -> str:
    """The page: the picture, what it says, and every number."""
    rows = [
        [
            f"{run.factor:g}x {TITLES[run.server]}" + (" (killed)" if run.killed else ""),
            f"{run.rate:.1f}/s",
            f"{run.goodput_per_s:.1f}/s",
            *(str(each) for each in became(run)),
            waited(run, run.p50_s),
            waited(run, run.p99_s),
            mib(run.peak_memory_bytes),
            "yes" if run.client_bottleneck else "no",
        ]
        for run in comparison.runs
    ]
    heads = ["", "arrivals", "goodput", *PARTS, "p50 to done", "p99 to done", "peak memory", "client at its limit"]
    body = [
        f"<h1>{escape(heading(comparison))}</h1>",
        "<p>A server with a bound refuses what it cannot take, at once, and so keeps doing useful work; one without "
        "a bound accepts everything, and pays in memory or in time.</p>",
        f'<div class="charts">{"".join(f"<div>{each}</div>" for each in charts(comparison))}</div>',
        *(f'<p class="faint">{escape(note)}</p>' for note in notes(comparison)),
        "<h2>Every run</h2>",
        table(f"Images: {', '.join(comparison.images)}", heads, rows),
    ]
    return page("imgpool compared", "".join(body))

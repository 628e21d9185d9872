"""The result of a load test as one HTML file: it needs nothing else, no network and no script."""

from __future__ import annotations

from html import escape
from typing import Any

from imgpool.load.charts import Line, chart_css, line_chart
from imgpool.load.terminal import client_line, mib, seconds

PAGE_CSS = """
:root { color-scheme: light dark; --ink: #1f2937; --faint: #6b7280; --line: #e5e7eb; --paper: #fff; --panel: #f9fafb }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e5e7eb; --faint: #9ca3af; --line: #374151; --paper: #111827; --panel: #1f2937 }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0 auto;
  max-width: 76rem; padding: 1.5rem }
h1 { font-size: 1.6rem; margin: 0 } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem }
p { margin: .4rem 0; max-width: 70ch } .faint { color: var(--faint) }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); text-align: right; font-weight: 400;
  white-space: nowrap }
thead th { white-space: normal; vertical-align: bottom }
th:first-child, td:first-child { text-align: left } thead th { color: var(--faint) }
.wide { overflow-x: auto } .tiles { display: flex; flex-wrap: wrap; gap: .75rem; margin: 1rem 0; padding: 0 }
.tiles div { background: var(--panel); border: 1px solid var(--line); border-radius: .5rem; padding: .6rem 1rem;
  min-width: 7.5rem }
.tiles dt { color: var(--faint); font-size: .85rem } .tiles dd { margin: 0; font-size: 1.4rem }
.charts { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(34rem, 100%), 1fr)) }
.charts div, .picture { overflow-x: auto } .charts svg, .picture svg { width: 100%; min-width: 34rem; height: auto }
.warning { border-left: .3rem solid #d97706; padding: .4rem .8rem; background: var(--panel) }
"""


def page(title: str, body: str) -> str:
    """A whole HTML document around `body`."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{PAGE_CSS}{chart_css()}</style></head><body>{body}</body></html>\n"
    )


def table(caption: str, heads: list[str], rows: list[list[str]]) -> str:
    """A table; its first column holds the rows' names."""
    head = "".join(f'<th scope="col">{escape(each)}</th>' for each in heads)
    lines = "".join(
        f'<tr><th scope="row">{escape(first)}</th>{"".join(f"<td>{escape(each)}</td>" for each in rest)}</tr>'
        for first, *rest in rows
    )
    return (
        f'<p class="faint">{escape(caption)}</p><div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )


def load_page(result: dict[str, Any]) -> str:
    """The page of one load test."""
    uploads, answers, ended, latency = (result[key] for key in ("uploads", "answers", "ended", "latency_s"))
    refused_p50 = latency["refusal"]["p50"]
    tiles = {
        "uploads due": uploads["due"],
        "accepted": answers["accepted"],
        "refused": answers["refused"],
        "no answer, reset": answers["reset"] + answers["unanswered"] + answers["unreachable"],
        "done": ended["done"],
        "failed or lost": ended["failed"] + ended["lost"],
        "goodput": f"{result['goodput_per_s']:.1f}/s",
        "p99 to done": seconds(latency["end_to_end"]["p99"]),
        "p50 of a refusal": seconds(refused_p50),
    }
    warning = "warning" if result["client"]["bottleneck"] else "faint"
    heads = ["", "count", "p50", "p90", "p99", "max"]
    rows = [
        [name, str(latency[key]["count"]), *(seconds(latency[key][at]) for at in ("p50", "p90", "p99", "max"))]
        for key, name in (
            ("refusal", "refusal"),
            ("acceptance", "acceptance (202)"),
            ("end_to_end", "end to end (done)"),
        )
    ]
    counted = [[f"refused: {reason}", str(number)] for reason, number in result["refused_by"].items()]
    counted += [[what, str(number)] for what, number in result["trouble"].items()]
    counted += [[f"failed: {what}", str(number)] for what, number in result["failures"].items()]
    interrupted = result["interrupted_s"]
    cut = "" if interrupted is None else f", interrupted after {interrupted:.1f} s"
    body = [
        f"<h1>Load test of {escape(result['url'])}</h1>",
        f"<p>{escape(result['plan']['text'])}{cut}. Clients: {escape(', '.join(result['clients']))}. "
        f"{len(result['images'])} different images, {mib(result['sent_bytes'])} sent.</p>",
        '<dl class="tiles">',
        *(f"<div><dt>{escape(name)}</dt><dd>{escape(str(value))}</dd></div>" for name, value in tiles.items()),
        f'</dl><p class="{warning}">{escape(client_line(result["client"]).replace("client    ", "The client "))}</p>',
        "<h2>Over time</h2>",
        f'<div class="charts">{"".join(f"<div>{each}</div>" for each in charts(result))}</div>',
        "<h2>How long it took</h2>",
        table(
            "Counted from when an upload was due, not from when the client got round to it; end to end from the first "
            "try to done.",
            heads,
            rows,
        ),
        "<h2>What was not taken, or went wrong</h2>",
        table("By the server's reason, or the client's", ["what", "times"], counted)
        if counted
        else "<p>Nothing: each upload was taken and done.</p>",
    ]
    return page(f"Load test of {result['url']}", "".join(body))


def charts(result: dict[str, Any]) -> list[str]:
    """The plots of one load test as SVG."""
    bucket_s, per_s = result["timeline"]["bucket_s"], result["timeline"]["per_s"]

    def over_time(name: str) -> list[tuple[float, float | None]]:
        return [(number * bucket_s, value) for number, value in enumerate(per_s[name])]

    def told(samples: list[dict[str, Any]], name: str) -> list[tuple[float, float | None]]:
        return [(each["at_s"], each[name]) for each in samples]

    lines = [Line(name, over_time(name), look) for look, name in enumerate(("due", "refused", "done"))]
    if any(per_s["trouble"]):
        lines.append(Line("no answer", over_time("trouble"), 3))
    drawn = [line_chart("Images per second", lines, x_name="seconds")]
    server, client = result["server"], result["client"]["samples"]
    if any(each["queue"] is not None for each in server):
        queue = [Line("waiting", told(server, "queue"), 0)]
        if any(each["capacity"] for each in server):
            queue += [Line("places", told(server, "capacity"), 4), Line("workers busy", told(server, "busy"), 2)]
        drawn.append(line_chart("The server's queue", queue, x_name="seconds"))
    if any(each["memory_bytes"] is not None for each in server):
        memory = [(at, None if value is None else value / 1024**2) for at, value in told(server, "memory_bytes")]
        drawn.append(
            line_chart(
                "The server's memory", [Line("memory", memory, 0)], x_name="seconds", y_format=lambda y: f"{y:g} MiB"
            )
        )
    cpu = [Line("this client", told(client, "cpu"), 4)]
    if any(each["cpu"] is not None for each in server):
        cpu.insert(0, Line("server", told(server, "cpu"), 0))
    drawn.append(line_chart("CPUs in use", cpu, x_name="seconds", at_least=1.0))
    return drawn

"""Commands that put load on servers and measure: `load`, `compare` and `bench`. They need the extra imgpool[load]."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from imgpool.cli.ending import SETTING_ERROR, end_in_order, fail, needs_extra


@click.command("load")
@click.argument("url")
@click.option("--users", metavar="N[,N...]", help="simultaneous users, in steps when several are given  [default: 20]")
@click.option("--rate", metavar="R[,R...]", help="arrivals per second instead: they come whatever the server does")
@click.option("--hold-s", default=30.0, show_default=True, help="seconds for which each step is held")
@click.option("--ramp-s", default=0.0, show_default=True, help="seconds of climbing to each step")
@click.option("--follow-s", default=60.0, show_default=True, help="longest wait for accepted images at the end")
@click.option("--until-done", is_flag=True, help="a user goes on when its image is done, not when it is accepted")
@click.option(
    "--client",
    "clients",
    multiple=True,
    default=["polite"],
    show_default=True,
    type=click.Choice(["polite", "impatient", "rude", "slow", "once"]),
    help="how clients take a no; several share the load equally",
)
@click.option("--images", multiple=True, type=click.Path(path_type=Path), metavar="FILE|DIR", help="what to upload")
@click.option("--token", envvar="IMGPOOL_TOKEN", help="the server's token [IMGPOOL_TOKEN]")
@click.option("--json", "json_file", type=click.Path(path_type=Path), metavar="FILE", help="the result; - for stdout")
@click.option("--report", "html_file", type=click.Path(path_type=Path), metavar="FILE.html", help="a page with plots")
@click.option("--yes-this-is-my-server", "consent", is_flag=True, help="needed for any but this machine")
def load_command(url: str, clients: tuple[str, ...], images: tuple[Path, ...], **options: Any) -> None:
    """Load-test the imgpool at URL. Needs the extra imgpool[load]; see docs/load-testing.md.

    Exit status 0 when the test was made, whatever it found; 2 when it could not be made so; 1 when no upload got an
    answer.
    """
    with needs_extra("load"):
        from imgpool.load.command import load_test
    from imgpool.load.target import LoadError

    try:
        result = load_test(url, clients=list(clients), images=list(images), say=click.echo, **options)
    except LoadError as error:
        fail(str(error), SETTING_ERROR)
    sys.exit(0 if result["answers"]["accepted"] + result["answers"]["refused"] else 1)


@click.command("compare")
@click.option("--factors", default="1,2,5,10", show_default=True, help="arrivals, times what the machine can do")
@click.option("--hold-s", default=6.0, show_default=True, help="seconds of arrivals, for each server and factor")
@click.option("--follow-s", default=12.0, show_default=True, help="longest wait for accepted images after each")
@click.option("--memory-bytes", metavar="SIZE", help="limit for each server  [default: 256 MiB and 128 MiB a CPU]")
@click.option("--images", multiple=True, type=click.Path(path_type=Path), metavar="FILE|DIR", help="what to upload")
@click.option(
    "-o",
    "--out",
    default="imgpool-compare",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="directory for compare.html, compare.png and compare.json",
)
def compare_command(images: tuple[Path, ...], out: Path, **options: Any) -> None:
    """Send the same arrivals to imgpool and to two servers without a bound, and draw what happens.

    Starts its own servers on this machine, one after the other, each with a memory limit. Takes some minutes. Needs
    the extra imgpool[load].
    """
    with needs_extra("load"):
        from imgpool.load.compare_command import compare_all
    from imgpool.load.target import LoadError

    end_in_order()
    try:
        compare_all(list(images), out, say=click.echo, **options)
    except LoadError as error:
        fail(str(error), SETTING_ERROR)


@click.command("bench")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[FILE|DIR...]")
@click.option("--count", default=40, show_default=True, type=click.IntRange(4, 2000), help="images for each worker")
@click.option("--json", "as_json", is_flag=True, help="print JSON instead of lines")
def bench_command(paths: tuple[Path, ...], count: int, as_json: bool) -> None:
    """Measure what this machine makes of each image: codecs alone, bare pipeline, whole service, and their ratios.

    Starts its own servers on this machine. Uses the sample photos with a camera's grain, or your own. Needs the extra
    imgpool[load].
    """
    with needs_extra("load"):
        from imgpool.load.bench import bench
        from imgpool.load.bench_report import conclusions, to_json
    from imgpool.load.target import LoadError

    end_in_order()
    try:
        result = bench(list(paths), count, say=lambda line: click.echo(line, err=as_json))
    except LoadError as error:
        fail(str(error), SETTING_ERROR)
    click.echo(to_json(result) if as_json else "\n" + "\n".join(conclusions(result)))

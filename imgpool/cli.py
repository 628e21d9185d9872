"""The command line. Thin: it parses, calls one function, and prints.

What a command needs is imported inside it, so that `imgpool --help` loads neither Flask, Pillow nor gunicorn.
"""

from __future__ import annotations

import logging
import re
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import click

import imgpool
from imgpool.config import FIELDS, Settings, load, option, variable
from imgpool.errors import ImgpoolError, SettingError

SETTING_ERROR = 2
Command = Callable[..., Any]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(imgpool.__version__, prog_name="imgpool", message="%(prog)s %(version)s")
def main() -> None:
    """An image upload service on a bounded worker pool."""


def settings_options(*names: str) -> Callable[[Command], Command]:
    """Options for these settings (all when none is named), and `--config`. Values are checked by `imgpool.config`."""

    def add(command: Command) -> Command:
        for field in reversed([field for field in FIELDS if not names or field.name in names]):
            help_text = f"{field.metadata['help']}  [default: {field.metadata['shown']}; {variable(field.name)}]"
            switch: dict[str, Any] = {}
            if isinstance(field.default, bool):  # the option's name alone is enough
                switch = {"is_flag": False, "flag_value": "yes"}
            metavar = "[yes|no]" if switch else field.name.split("_")[-1].upper()
            command = click.option(option(field.name), metavar=metavar, help=help_text, **switch)(command)
        return click.option("--config", metavar="FILE.toml", help="file with settings [IMGPOOL_CONFIG]")(command)

    return add


def _load(options: Mapping[str, str | None]) -> Settings:
    try:
        return load(options)
    except SettingError as error:
        _fail(str(error), SETTING_ERROR)


def _fail(line: str, status: int) -> NoReturn:
    click.echo(f"imgpool: {line}", err=True)
    sys.exit(status)


@main.command()
@settings_options()
def serve(**options: str | None) -> None:
    """Serve the upload page, the status page and the API."""
    settings = _load(options)
    logging.basicConfig(level=logging.INFO, format="imgpool: %(levelname)s: %(message)s")
    from imgpool.server.application import serve as serve_forever
    from imgpool.service import StoreError

    try:
        serve_forever(settings)
    except SettingError as error:
        _fail(str(error), SETTING_ERROR)
    except (ImgpoolError, StoreError) as error:
        _fail(str(error), 1)


@main.command()
@settings_options(
    "broker", "database", "files", "s3_endpoint", "lease_s", "data_dir", "workers", "recipe", "max_pixels", "isolation",
    "job_timeout_s", "job_memory_bytes", "decode_memory_bytes", "max_attempts",
)  # fmt: skip
def worker(**options: str | None) -> None:
    """Process images for `imgpool serve` on other machines, with the same --broker, --database and --files.

    A Celery worker: `celery inspect`, Flower and SIGTERM do what they always do. Needs the extra imgpool[scaleout].
    """
    settings = _load(options)
    logging.basicConfig(level=logging.INFO, format="imgpool: %(levelname)s: %(message)s")
    from imgpool.service import StoreError

    try:
        with _extra("scaleout"):
            from imgpool.scaleout.worker import Worker
        celery_worker = Worker(settings)
        celery_worker.check()
    except SettingError as error:
        _fail(str(error), SETTING_ERROR)
    except StoreError as error:
        _fail(str(error), 1)
    sys.exit(celery_worker.run())


@main.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE|DIR...")
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="directory of the variants",
)
@settings_options(
    "workers", "recipe", "max_pixels", "isolation", "job_timeout_s", "job_memory_bytes", "decode_memory_bytes"
)
def process(paths: tuple[Path, ...], out: Path, **options: str | None) -> None:
    """Make the variants of files and folders with the same pool and pipeline, without a server.

    The variants of photo.jpg go to OUT/photo.jpg/. Exit status 0 when all were done, 1 when some failed.
    """
    settings = _load(options)
    from imgpool.service.batch import find_images, run_batch
    from imgpool.service.workshop import Workshop

    try:
        workshop = Workshop(settings)
    except SettingError as error:
        _fail(str(error), SETTING_ERROR)
    jobs = find_images(list(paths), out)
    if not jobs:
        _fail("no images found", 1)
    failed: list[tuple[Path, str]] = []
    outcomes = run_batch(jobs, workshop, timeout_s=settings.job_timeout_s)
    with click.progressbar(
        outcomes,
        length=len(jobs),
        label="processing",
        show_pos=True,
        file=sys.stderr,
        hidden=not sys.stderr.isatty(),
    ) as bar:
        failed = [(job.source, reason) for job, reason in bar if reason is not None]
    for source, reason in failed:
        click.echo(f"{source}: {reason}", err=True)
    click.echo(f"{len(jobs) - len(failed)} done, {len(failed)} failed, in {out}")
    sys.exit(1 if failed else 0)


@main.command()
@click.option("--older-than", required=True, metavar="AGE", help="30d, 12h, 90m or 45s since an image was finished")
@settings_options("data_dir", "output_dir", "broker", "database", "files", "s3_endpoint")
def prune(older_than: str, **options: str | None) -> None:
    """Delete finished images that are older. The server must be stopped; a running one has --retention-days."""
    match = re.fullmatch(r"([0-9]{1,9})([dhms])", older_than)
    if match is None:
        _fail(
            f"--older-than: {older_than!r} is not allowed; allowed: a whole number with d, h, m or s, as 30d",
            SETTING_ERROR,
        )
    age_s = int(match[1]) * {"d": 86_400, "h": 3600, "m": 60, "s": 1}[match[2]]
    settings = _load(options)
    from imgpool.service import StoreError
    from imgpool.web.backing import make_service

    if not settings.scaled_out and not (settings.data_dir / "imgpool.db").exists():
        _fail(f"--data-dir: '{settings.data_dir}' is not allowed: it holds no imgpool.db", SETTING_ERROR)
    try:
        service = make_service(settings)
        service.open()
        try:
            removed = service.prune(age_s)
        finally:
            service.close()
    except SettingError as error:
        _fail(str(error), SETTING_ERROR)
    except (ImgpoolError, StoreError) as error:
        _fail(str(error), 1)
    click.echo(f"{removed} images deleted")


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("number", required=False, type=int)
@click.option("--source", "what", flag_value="source", help="only show the program, as it can be saved and changed")
@click.option("--run", "what", flag_value="run", help="only run it")
@click.argument("changes", nargs=-1, type=click.UNPROCESSED, metavar="[--PARAMETER VALUE]...")
def lesson(number: int | None, what: str | None, changes: tuple[str, ...]) -> None:
    """Lessons about worker pools: list them, or show and run one.

    Each has parameters of its own, which it names: imgpool lesson 5 --workers 1,2,4,8,16
    """
    from imgpool.learn.catalogue import LESSONS
    from imgpool.learn.terminal import list_programs, teach

    if number is None:
        list_programs(LESSONS)
        click.echo('\n"imgpool lesson 2" shows a lesson\'s program and runs it.')
        return
    chosen = next((each for each in LESSONS if each.number == number), None)
    if chosen is None:
        _fail(f"there is no lesson {number}; there are 1 to {len(LESSONS)}", SETTING_ERROR)
    try:
        sys.exit(teach(chosen, what, changes))
    except SettingError as error:
        _fail(str(error), SETTING_ERROR)


@main.command()
@click.argument("number", required=False, type=int)
@click.option("--check", "solution", type=click.Path(path_type=Path), metavar="FILE", help="say what is right in FILE")
@click.option("--to", type=click.Path(path_type=Path), metavar="FILE", help="where to write the starter file")
def exercise(number: int | None, solution: Path | None, to: Path | None) -> None:
    """Exercises: list them, write the file to start from, or check a solution.

    A solution is run in a child process, for some seconds at most. Exit status 0 when nothing is missing, else 1.
    """
    from imgpool.learn import terminal
    from imgpool.learn.catalogue import EXERCISES

    if number is None:
        terminal.list_programs(EXERCISES)
        click.echo(
            '\n"imgpool exercise 1" writes a file to start from; "imgpool exercise 1 --check FILE" checks yours.'
        )
        return
    chosen = next((each for each in EXERCISES if each.number == number), None)
    if chosen is None:
        _fail(f"there is no exercise {number}; there are 1 to {len(EXERCISES)}", SETTING_ERROR)
    try:
        if solution is not None:
            sys.exit(terminal.check(chosen, solution))
        terminal.start(chosen, to or Path(f"exercise_{chosen.path.name}"))
    except SettingError as error:
        _fail(str(error), SETTING_ERROR)


@main.command("load")
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
    with _extra("load"):
        from imgpool.load.command import load_test
    from imgpool.load.target import LoadError

    try:
        result = load_test(url, clients=list(clients), images=list(images), say=click.echo, **options)
    except LoadError as error:
        _fail(str(error), SETTING_ERROR)
    sys.exit(0 if result["answers"]["accepted"] + result["answers"]["refused"] else 1)


@main.command("compare")
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
    with _extra("load"):
        from imgpool.load.compare_command import compare_all
    from imgpool.load.target import LoadError

    _end_in_order()
    try:
        compare_all(list(images), out, say=click.echo, **options)
    except LoadError as error:
        _fail(str(error), SETTING_ERROR)


@main.command("bench")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[FILE|DIR...]")
@click.option("--count", default=40, show_default=True, type=click.IntRange(4, 2000), help="images for each worker")
@click.option("--json", "as_json", is_flag=True, help="print JSON instead of lines")
def bench_command(paths: tuple[Path, ...], count: int, as_json: bool) -> None:
    """Measure what this machine makes of each image: codecs alone, bare pipeline, whole service, and their ratios.

    Starts its own servers on this machine. Uses the sample photos with a camera's grain, or your own. Needs the extra
    imgpool[load].
    """
    with _extra("load"):
        from imgpool.load.bench import bench
        from imgpool.load.bench_report import conclusions, to_json
    from imgpool.load.target import LoadError

    _end_in_order()
    try:
        result = bench(list(paths), count, say=lambda line: click.echo(line, err=as_json))
    except LoadError as error:
        _fail(str(error), SETTING_ERROR)
    click.echo(to_json(result) if as_json else "\n" + "\n".join(conclusions(result)))


def _end_in_order() -> None:
    """SIGTERM as an exit: what was started is ended, and temporary directories go."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


@contextmanager
def _extra(name: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        _fail(f"{error.name} is missing: this needs the extra, pip install 'imgpool[{name}]'", 1)

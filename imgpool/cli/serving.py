"""Commands that process images: `serve`, `worker`, `process`; and `prune`, which deletes old ones."""

from __future__ import annotations

import logging
import re
import sys
from pathlib import Path

import click

from imgpool.cli.ending import SETTING_ERROR, fail, needs_extra
from imgpool.cli.settings import settings_of, settings_options
from imgpool.errors import ImgpoolError, SettingError


@click.command()
@settings_options()
def serve(**options: str | None) -> None:
    """Serve the upload page, the status page and the API."""
    settings = settings_of(options)
    logging.basicConfig(level=logging.INFO, format="imgpool: %(levelname)s: %(message)s")
    from imgpool.server.application import serve as serve_forever
    from imgpool.service import StoreError

    try:
        serve_forever(settings)
    except SettingError as error:
        fail(str(error), SETTING_ERROR)
    except (ImgpoolError, StoreError) as error:
        fail(str(error), 1)


@click.command()
@settings_options(
    "broker", "database", "files", "s3_endpoint", "lease_s", "data_dir", "workers", "recipe", "max_pixels", "isolation",
    "job_timeout_s", "job_memory_bytes", "decode_memory_bytes", "max_attempts",
)  # fmt: skip
def worker(**options: str | None) -> None:
    """Process images for `imgpool serve` on other machines, with the same --broker, --database and --files.

    A Celery worker: `celery inspect`, Flower and SIGTERM do what they always do. Needs the extra imgpool[scaleout].
    """
    settings = settings_of(options)
    logging.basicConfig(level=logging.INFO, format="imgpool: %(levelname)s: %(message)s")
    from imgpool.service import StoreError

    try:
        with needs_extra("scaleout"):
            from imgpool.scaleout.worker import Worker
        celery_worker = Worker(settings)
        celery_worker.check()
    except SettingError as error:
        fail(str(error), SETTING_ERROR)
    except StoreError as error:
        fail(str(error), 1)
    sys.exit(celery_worker.run())


@click.command()
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
    settings = settings_of(options)
    from imgpool.service.batch import find_images, run_batch
    from imgpool.service.workshop import Workshop

    try:
        workshop = Workshop(settings)
    except SettingError as error:
        fail(str(error), SETTING_ERROR)
    jobs = find_images(list(paths), out)
    if not jobs:
        fail("no images found", 1)
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


@click.command()
@click.option("--older-than", required=True, metavar="AGE", help="30d, 12h, 90m or 45s since an image was finished")
@settings_options("data_dir", "output_dir", "broker", "database", "files", "s3_endpoint")
def prune(older_than: str, **options: str | None) -> None:
    """Delete finished images that are older. The server must be stopped; a running one has --retention-days."""
    match = re.fullmatch(r"([0-9]{1,9})([dhms])", older_than)
    if match is None:
        fail(
            f"--older-than: {older_than!r} is not allowed; allowed: a whole number with d, h, m or s, as 30d",
            SETTING_ERROR,
        )
    age_s = int(match[1]) * {"d": 86_400, "h": 3600, "m": 60, "s": 1}[match[2]]
    settings = settings_of(options)
    from imgpool.service import StoreError
    from imgpool.web.backing import make_service

    if not settings.scaled_out and not (settings.data_dir / "imgpool.db").exists():
        fail(f"--data-dir: '{settings.data_dir}' is not allowed: it holds no imgpool.db", SETTING_ERROR)
    try:
        service = make_service(settings)
        service.open()
        try:
            removed = service.prune(age_s)
        finally:
            service.close()
    except SettingError as error:
        fail(str(error), SETTING_ERROR)
    except (ImgpoolError, StoreError) as error:
        fail(str(error), 1)
    click.echo(f"{removed} images deleted")

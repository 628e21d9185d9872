"""The command line. Thin: a command parses, calls one function, and prints.

What a command needs is imported inside it, so that `imgpool --help` loads neither Flask, Pillow nor gunicorn.
"""

from __future__ import annotations

import click

import imgpool
from imgpool.cli.learning import exercise, lesson
from imgpool.cli.measuring import bench_command, compare_command, load_command
from imgpool.cli.serving import process, prune, serve, worker


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(imgpool.__version__, prog_name="imgpool", message="%(prog)s %(version)s")
def main() -> None:
    """An image upload service on a bounded worker pool."""


for command in (serve, worker, process, prune, lesson, exercise, load_command, compare_command, bench_command):
    main.add_command(command)

"""What `imgpool load` does, from its options to its three forms of a result: text, JSON, one HTML file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import locust  # noqa: F401  # before anything that opens a socket: it replaces the standard library's

from imgpool.load.pictures import read_pictures
from imgpool.load.plan import make_plan
from imgpool.load.report import load_page
from imgpool.load.run import run_load
from imgpool.load.summary import summarise
from imgpool.load.target import LoadError, find_target
from imgpool.load.terminal import Progress, result_lines


def load_test(
    url: str,
    *,
    users: str | None,
    rate: str | None,
    ramp_s: float,
    hold_s: float,
    follow_s: float,
    until_done: bool,
    clients: list[str],
    images: list[Path],
    token: str | None,
    consent: bool,
    json_file: Path | None,
    html_file: Path | None,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Run it; `say` is given the result's lines. Blocks. Raises `LoadError` before anything was sent.

    Files are checked before the test, so that half an hour of it is not lost to a folder that is not there.
    """
    plan = make_plan(users, rate, ramp_s, hold_s)
    if until_done and rate is not None:
        raise LoadError("--until-done is for --users: arrivals wait for nothing")
    target = find_target(url, token, consent)
    pictures = read_pictures(images)
    for file in (json_file, html_file):
        if file is not None and str(file) != "-":
            try:
                file.touch()
            except OSError as error:
                raise LoadError(f"{str(file)!r} cannot be written: {error.strerror}") from None
    target.check()
    progress = Progress()
    record = run_load(target, plan, clients, pictures, follow_s=follow_s, until_done=until_done, progress=progress)
    progress.end()
    result = summarise(record, plan, url=target.url, clients=clients, images=[each.name for each in pictures])
    if str(json_file) == "-":
        say(json.dumps(result, indent=1))
        return result
    for line in result_lines(result):
        say(line)
    if json_file is not None:
        json_file.write_text(json.dumps(result, indent=1) + "\n")
    if html_file is not None:
        html_file.write_text(load_page(result))
        say(f"report    {html_file}")
    return result

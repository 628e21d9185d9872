"""Real browsers that are installed on this machine; Playwright drives them and downloads none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from serving import WAIT_S

PATIENCE_MS = 1000 * WAIT_S  # no test waits this long unless it fails


@contextmanager
def installed(engine: str, *names: str, **options: Any) -> Iterator[Browser]:
    """The first of these programs that there is. Without one the test is skipped, and fails under CI."""
    found = next((path for path in map(shutil.which, names) if path), None)
    if found is None:
        reason = f"no {engine.capitalize()} on this machine: looked for {', '.join(names)}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = getattr(playwright, engine).launch(executable_path=found, timeout=PATIENCE_MS, **options)
        yield browser
        browser.close()

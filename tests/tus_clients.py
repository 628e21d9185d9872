"""Upload programs that others wrote, as tests run them: what each prints, and how the one for Node.js is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

CLIENTS = Path(__file__).parent / "clients"
WAIT_S = 120


class Client:
    """A client program and what it prints."""

    def __init__(self, *command: str) -> None:
        self.lines: list[str] = []
        self._thread = threading.Thread(target=self._run, args=command, daemon=True)
        self._thread.start()

    def _run(self, *command: str) -> None:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            assert process.stdout is not None
            self.lines.extend(line.rstrip("\n") for line in process.stdout)

    def image_id(self) -> str:
        """Wait for the end; the ID of the image."""
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive(), self.lines
        assert self.lines[-1].startswith("done "), self.lines
        return self.lines[-1].rsplit("/", 1)[1]


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """tus-js-client as the lock file has it, outside of the source tree."""
    if shutil.which("npm") is None:
        reason = "no Node.js on this machine"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("clients")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(CLIENTS / name, folder)
    done = subprocess.run(
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    yield folder
    shutil.rmtree(folder)

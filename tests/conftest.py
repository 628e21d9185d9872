"""Shared by all tests: nothing of imgpool is left running, a service to test against, and images as bytes."""

from __future__ import annotations

import io
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import hypothesis
import psutil
import pytest
from PIL import Image

from doubles import Watching
from imgpool.config import Settings
from pictures import bomb, photo
from servers.pgbouncer import pgbouncer, pooled_url  # noqa: F401 - fixtures
from servers.postgresql import database_url, postgresql  # noqa: F401 - fixtures
from servers.standing import STANDING

END_S = 60.0


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--kills 100` is the long run of system/test_kills.py, `--reservations 10000` that of scaleout/test_room.py."""
    parser.addoption("--kills", type=int, default=25, help="how often each test of test_kills.py kills (default: 25)")
    parser.addoption(
        "--reservations", type=int, default=600, help="slots that the crowd of scaleout/test_room.py asks for (600)"
    )


def pytest_configure() -> None:
    """Who starts the tests in the background of a script has them ignore Ctrl-C, and with them all that they start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # A proxy that leads out of this machine's network leads nobody back into it.
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), "127.0.0.1", "localhost")))
    # An example that takes a fifth of a second says something about the machine.
    patient = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
    hypothesis.settings.register_profile("patient", hypothesis.settings(), **patient)
    hypothesis.settings.load_profile("patient")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What was logged goes from process to process as UTF-8, and one test logs half of a surrogate pair."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "replace").decode()) for name, text in report.sections]
    return report


def _threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("imgpool-")]


@pytest.fixture(autouse=True)
def _nothing_left_running() -> Iterator[None]:
    """Fail a test that leaves a thread of imgpool or a child process behind; those of a wider fixture may stay."""
    before = set(psutil.Process().children())
    threads_before = set(_threads())
    yield
    limit = time.monotonic() + END_S
    for thread in set(_threads()) - threads_before:
        thread.join(max(0.0, limit - time.monotonic()))
    threads = sorted(thread.name for thread in set(_threads()) - threads_before)
    assert not threads, f"threads left alive: {threads}"
    children = {child for child in psutil.Process().children() if child not in before and child.pid not in STANDING}
    if children:
        _, children = psutil.wait_procs(children, timeout=max(0.1, limit - time.monotonic()))  # type: ignore[assignment]
    for process in [each for child in children for each in (child, *child.children(recursive=True))]:
        with suppress(psutil.NoSuchProcess):
            process.kill()  # a server that a failed test did not stop would stay for ever
    assert not children, f"child processes left: {children}"


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """IMGPOOL_... of the person who runs the tests says nothing about the tests."""
    for name in list(os.environ):
        if name.startswith("IMGPOOL_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def swift(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A real S3, started once for all tests that ask for it."""
    from servers.swift import MISSING, credentials, running

    if MISSING:
        pytest.skip(MISSING)
    with pytest.MonkeyPatch.context() as patch, running(tmp_path_factory.mktemp("swift")) as server:
        for name, value in credentials().items():
            patch.setenv(name, value)
        server.make_bucket()
        yield server


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., Settings]:
    """Makes settings for a fast service in a directory of its own."""

    def make(**changed: Any) -> Settings:
        fast = {"data_dir": tmp_path / "data", "isolation": "thread", "workers": 2, "queue_capacity": 8}
        return Settings(**{**fast, "disk_floor_bytes": 0, "drain_timeout_s": 10.0, **changed})

    return make


@pytest.fixture
def start(settings: Callable[..., Settings]) -> Iterator[Callable[..., Watching]]:
    """Starts services; each is stopped when the test ends. `gate`, `records` and `files` go to `Watching`."""
    started: list[Watching] = []

    def run(*, kind: type[Watching] = Watching, **given: Any) -> Watching:
        parts = {name: given.pop(name) for name in ("gate", "records", "files") if name in given}
        service = kind(settings(**given), **parts)
        started.append(service)
        service.start()
        return service

    yield run
    for service in started:
        if service.gate is not None:
            service.gate.open()
        service.stop(10)


def _encoded(image: Image.Image, file_format: str, **options: Any) -> bytes:
    with io.BytesIO() as file:
        image.save(file, file_format, **options)
        return file.getvalue()


@pytest.fixture(scope="session")
def images() -> dict[str, bytes]:
    """Small images by name: good ones, and some that no service should take or can process."""
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(io.BytesIO(photo(320, 240))) as opened:
        picture = opened.convert("RGB")
    transparent = picture.copy()
    transparent.putalpha(128)
    return {
        "jpeg": photo(320, 240),
        "turned": _encoded(picture, "JPEG", exif=exif.tobytes()),
        "png": _encoded(transparent, "PNG"),
        "webp": _encoded(picture, "WEBP"),
        "gif": _encoded(picture.convert("P"), "GIF"),
        "tiny": _encoded(Image.new("1", (2, 2), 1), "BMP"),
        "truncated": photo(1200, 900)[:9000],
        "text": b"This is not a picture. " * 50,
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>' + b" " * 300,
        "bomb": bomb(),
    }

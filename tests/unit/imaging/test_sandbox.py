"""Decoder children, real ones: crashed, hung, starved, cancelled, orphaned. None is left behind."""

from __future__ import annotations

import contextlib
import json
import os
import random
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image

from imgpool.errors import (
    DecodeFailed,
    DecoderCrashed,
    DecoderKilled,
    ImageTooLarge,
    ImagingError,
    JobCancelled,
    JobTimedOut,
    MachineFailed,
    OutOfMemory,
)
from imgpool.imaging.model import Limits
from imgpool.imaging.recipe import parse_recipe
from imgpool.imaging.sandbox import InChild, InThread, Processor
from imgpool.pool.context import Context

RECIPE = parse_recipe("large=fit:1600x1600,thumb=fit:64x64")
GIB = 2**30
WAIT_S = 120.0  # no test waits this long unless it fails
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's own means against orphans")


@pytest.fixture
def original(tmp_path: Path, pictures: Any) -> Path:
    path = tmp_path / "original"
    path.write_bytes(pictures.encoded(pictures.scene(300, 200), "JPEG"))
    return path


@pytest.fixture
def into(tmp_path: Path) -> Path:
    path = tmp_path / "out"
    path.mkdir()
    return path


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    before = set(psutil.Process().children())  # a server of other tests, which may have children of its own
    yield
    assert set(psutil.Process().children()) <= before


@contextlib.contextmanager
def in_child(memory_bytes: int = GIB, limits: Limits | None = None) -> Iterator[InChild]:
    processor = InChild(RECIPE, limits or Limits(), lambda: memory_bytes, sync=False)
    try:
        processor.start()
        yield processor
    finally:
        processor.close()


def process(processor: Processor, original: Path, into: Path, timeout_s: float | None = 60.0) -> Any:
    return processor.process(original, into, timeout_s=timeout_s, cancelled=Context())


class WhenAsked(Context):
    """A context that does something, once, when the child has been sent its request and is about to be waited for."""

    def __init__(self, action: Callable[[], object], parent: Context | None = None) -> None:
        super().__init__(parent)
        self._action: Callable[[], object] | None = action

    def remaining_s(self) -> float | None:
        action, self._action = self._action, None
        if action is not None:
            action()
        return super().remaining_s()


def stopped(pid: int | None) -> int:
    """Stop a child, so that it hangs at a known point, and return its pid once it has stopped."""
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)
    return pid


def gone(pid: int) -> bool:
    """Wait until a process that is not our child has ended; at most `WAIT_S`. A zombie has ended."""
    limit = time.monotonic() + WAIT_S
    while time.monotonic() < limit:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        threading.Event().wait(0.01)
    return False


def names(into: Path) -> list[str]:
    return sorted(path.name for path in into.iterdir())


def test_a_child_and_a_thread_make_the_same(original: Path, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with in_child() as child:
        made = process(child, original, tmp_path / "a")
        assert process(InThread(RECIPE, Limits()), original, tmp_path / "b") == made
    assert [(v.filename, v.width, v.height) for v in made.variants] == [("large.jpg", 300, 200), ("thumb.jpg", 64, 43)]
    for name in names(tmp_path / "a"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_errors_travel_with_kind_and_sentence(original: Path, into: Path) -> None:
    original.write_bytes(original.read_bytes()[:700])
    with in_child() as child:
        pid = child.pid
        with pytest.raises(DecodeFailed, match="cut short"):
            process(child, original, into)
        assert child.pid == pid  # a damaged file is no reason for a new child
    with in_child(limits=Limits(max_pixels=10)) as child, pytest.raises(ImageTooLarge, match="at most 10 "):
        process(child, original, into)
    assert names(into) == []


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT])
def test_a_crash_costs_one_image(original: Path, into: Path, number: signal.Signals) -> None:
    with in_child() as child:
        pid = stopped(child.pid)

        def crash() -> None:
            os.kill(pid, number)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)  # the other signal comes first: the request stays unread

        with pytest.raises(DecoderCrashed, match=number.name) as raised:
            child.process(original, into, timeout_s=60.0, cancelled=WhenAsked(crash))
        assert isinstance(raised.value, DecoderKilled) == (number == signal.SIGKILL), "from outside, or by itself"
        assert names(into) == []
        assert child.pid != pid
        assert process(child, original, into).width == 300


def test_a_child_killed_between_two_images_costs_none(original: Path, into: Path) -> None:
    with in_child() as child:
        pid = child.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert process(child, original, into).width == 300


def test_a_hang_is_ended_at_the_limit(original: Path, into: Path) -> None:
    with in_child() as child:
        pid = stopped(child.pid)
        began = time.monotonic()
        (into / ".large.jpg.part").write_bytes(b"half")
        (into / "thumb.jpg").write_bytes(b"whole")
        (into / "not-ours").write_bytes(b"")
        with pytest.raises(JobTimedOut, match=r"limit of 0.3 s"):
            process(child, original, into, timeout_s=0.3)
        assert 0.3 <= time.monotonic() - began < 10
        assert names(into) == ["not-ours"]
        assert not psutil.pid_exists(pid)
        assert process(child, original, into).width == 300


def test_cancelling_wakes_at_once(original: Path, into: Path) -> None:
    with in_child() as child:
        pid = stopped(child.pid)
        context = Context()
        cancel = threading.Thread(target=context.cancel, args=("the server is stopping",))
        began = time.monotonic()
        with pytest.raises(JobCancelled, match="the server is stopping"):
            child.process(original, into, timeout_s=60.0, cancelled=WhenAsked(cancel.start, context))
        cancel.join(WAIT_S)
        assert time.monotonic() - began < 30
        assert not psutil.pid_exists(pid)
        with pytest.raises(JobCancelled):  # cancelled before it began: no child is started for it
            child.process(original, into, timeout_s=60.0, cancelled=context)
        assert child.pid is None
        assert process(child, original, into).width == 300


def test_a_deadline_calls_nobody_and_still_ends_it(original: Path, into: Path) -> None:
    with in_child() as child:
        stopped(child.pid)
        with pytest.raises(JobCancelled, match="deadline"):
            child.process(original, into, timeout_s=60.0, cancelled=Context(timeout_s=0.2))


def test_in_thread_stops_between_steps(original: Path, into: Path) -> None:
    context = Context()
    context.cancel("enough")
    with pytest.raises(JobCancelled, match="enough"):
        InThread(RECIPE, Limits()).process(original, into, timeout_s=None, cancelled=context)
    with pytest.raises(JobTimedOut):
        InThread(RECIPE, Limits()).process(original, into, timeout_s=0.0, cancelled=Context())


@linux_only
@pytest.mark.parametrize("name", ["PNG", "WEBP", "JPEG", "TIFF"])
def test_memory_is_limited(pictures: Any, tmp_path: Path, original: Path, into: Path, name: str) -> None:
    large = tmp_path / "large"
    options = {"progressive": True} if name == "JPEG" else {"lossless": True, "method": 0} if name == "WEBP" else {}
    large.write_bytes(pictures.encoded(Image.new("RGB", (8000, 6000), "teal"), name, **options))
    recipe = parse_recipe("large=fit:8000x8000")
    processor = InChild(recipe, Limits(), lambda: 100 * 2**20, sync=False)
    try:
        with pytest.raises(OutOfMemory, match="more memory"):
            process(processor, large, into)
        assert names(into) == []
        assert process(processor, original, into).width == 300
        with pytest.raises(OutOfMemory):  # tried twice: also in a child that has done nothing else
            process(processor, large, into)
    finally:
        processor.close()


def test_noise_on_standard_output_does_no_harm(original: Path, into: Path) -> None:
    with in_child() as child:
        assert child.pid is not None
        # What a C library would print to goes to standard error, which is read, bounded and dropped.
        links = {number: Path(f"/proc/{child.pid}/fd/{number}").readlink() for number in range(3)}
        assert links[0] == Path("/dev/null")
        assert links[1] == links[2]
        assert process(child, original, into).width == 300


def test_signals_of_the_terminal_are_not_for_children(original: Path, into: Path) -> None:
    with in_child() as child:
        pid = child.pid
        assert pid is not None
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(pid, number)
        assert process(child, original, into).width == 300
        assert child.pid == pid
        assert os.getsid(pid) == pid


def test_secrets_stay_out_of_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGPOOL_TOKEN", "secret")
    with in_child() as child:
        environment = psutil.Process(child.pid).environ()
    assert "IMGPOOL_TOKEN" not in environment
    assert environment["MALLOC_TRIM_THRESHOLD_"]


def test_started_from_anywhere(original: Path, into: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "PIL.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(elsewhere)
    with in_child() as child:
        assert process(child, original, into).width == 300


def test_a_child_that_cannot_start_says_so(monkeypatch: pytest.MonkeyPatch, original: Path, into: Path) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    processor = InChild(RECIPE, Limits(), lambda: GIB)
    try:
        with pytest.raises(MachineFailed, match="could not be started"):
            processor.start()
        with pytest.raises(MachineFailed, match="could not be started"):
            process(processor, original, into)
        assert processor.pid is None
    finally:
        processor.close()


def test_answers_are_not_believed_blindly(
    original: Path, into: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [
        b"nonsense\n",
        b"[]\n",
        b'{"made": {}}\n',
        b'{"kind": "cancelled", "message": "not for a child to say"}\n',
        b'{"made": {"format": "jpeg", "width": 1, "height": 1, "variants": []}}\n',
        json.dumps({"made": {"format": "jpeg", "width": 1, "height": 1, "variants": [
            {"name": name, "filename": "../../etc/passwd", "width": 1, "height": 1, "bytes": 1, "format": "jpeg"}
            for name in ("large", "thumb")]}}).encode() + b"\n",
        b"x" * 300_000,
    ]  # fmt: skip
    for number, answer in enumerate(answers):
        fake = tmp_path / f"fake-{number}"
        (tmp_path / f"answer-{number}").write_bytes(answer)
        fake.write_text(
            f"#!/bin/sh\nread settings\necho '{{\"ready\": true}}'\nread request\n"
            f"cat '{tmp_path}/answer-{number}'\nread never\n"
        )
        fake.chmod(0o700)
        monkeypatch.setattr(sys, "executable", str(fake))
        processor = InChild(RECIPE, Limits(), lambda: GIB)
        try:
            with pytest.raises(DecoderCrashed, match="nonsense"):
                process(processor, original, into)
        finally:
            processor.close()


def test_close_leaves_nothing_and_may_be_repeated(original: Path, into: Path) -> None:
    processor = InChild(RECIPE, Limits(), lambda: GIB)
    process(processor, original, into)
    pid = processor.pid
    context = Context()
    processor.close()
    processor.close()
    assert pid is not None
    assert not psutil.pid_exists(pid)
    processor._wake()  # a cancel that comes late writes to no descriptor
    with pytest.raises(DecoderCrashed, match="closed"):
        processor.process(original, into, timeout_s=None, cancelled=context)


@linux_only
def test_fifty_replacements_leak_nothing(original: Path, into: Path) -> None:
    with in_child() as child:
        process(child, original, into)
        descriptors = psutil.Process().num_fds()
        threads = set(threading.enumerate())
        for _ in range(50):
            assert child.pid is not None
            os.kill(child.pid, signal.SIGKILL)
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
            child.start()
        process(child, original, into)
        assert psutil.Process().num_fds() <= descriptors  # less when what others forgot to close was just collected
        assert set(threading.enumerate()) <= threads


PARENT = """
import sys, threading
from pathlib import Path
from imgpool.imaging.model import Limits
from imgpool.imaging.recipe import parse_recipe
from imgpool.imaging.sandbox import InChild
from imgpool.pool.context import Context
child = InChild(parse_recipe("large=fit:1600x1600"), Limits(), lambda: 2**30)
child.start()
print(child.pid, flush=True)
sys.stdin.readline()
print("asking", flush=True)
child.process(Path(sys.argv[1]), Path(sys.argv[2]), timeout_s=None, cancelled=Context())
print("done", flush=True)
threading.Event().wait()
"""


@linux_only
@pytest.mark.parametrize("state", ["idle", "stopped", "in the middle"])
def test_children_end_with_a_killed_parent(original: Path, into: Path, state: str) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(original), str(into)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert parent.stdout is not None
        assert parent.stdin is not None
        assert select.select([parent.stdout], [], [], WAIT_S)[0]
        pid = int(parent.stdout.readline())
        if state != "idle":
            os.kill(pid, signal.SIGSTOP)
        if state == "in the middle":
            parent.stdin.write(b"\n")
            parent.stdin.flush()
            assert parent.stdout.readline() == b"asking\n"
        parent.send_signal(signal.SIGKILL)
        parent.wait(WAIT_S)
        assert gone(pid)
    finally:
        parent.kill()
        parent.communicate(timeout=WAIT_S)


def _child_alone(settings: dict[str, Any]) -> subprocess.Popen[bytes]:
    """A decoder child without the parent's code around it."""
    child = subprocess.Popen(
        [sys.executable, "-m", "imgpool.imaging.child"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdin is not None
    child.stdin.write(json.dumps(settings).encode() + b"\n")
    child.stdin.flush()
    return child


def _settings(parent: int) -> dict[str, Any]:
    variant = {"name": "a", "kind": "fit", "width": 9, "height": 9, "format": "auto", "quality": 82}
    limits = {"max_pixels": 10**8, "max_side": 65535, "max_frames": 10}
    return {"recipe": [variant], "limits": limits, "memory_bytes": GIB, "sync": False, "parent": parent}


def test_a_child_ends_when_its_input_does() -> None:
    child = _child_alone(_settings(os.getpid()))
    out, _ = child.communicate(timeout=WAIT_S)
    assert out == b'{"ready": true}\n'
    assert child.returncode == 0


@linux_only
def test_a_child_whose_parent_was_quicker_ends() -> None:
    child = _child_alone(_settings(parent=2**22 + 1))  # the parent it was started for is another by now
    out, _ = child.communicate(timeout=WAIT_S)
    assert out == b""
    assert child.returncode == 0


def test_a_child_ends_itself_when_nobody_else_does(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "never")  # opening it for reading blocks for ever: a hang in the middle of an image
    child = _child_alone(_settings(os.getpid()))
    assert child.stdin is not None
    # The timer goes off 5 s after the limit; a limit in the past makes that 0.2 s.
    request = {"original": str(tmp_path / "never"), "into": str(tmp_path), "timeout_s": -4.8}
    child.stdin.write(json.dumps(request).encode() + b"\n")
    child.stdin.flush()
    try:
        assert child.wait(WAIT_S) == -signal.SIGALRM
    finally:
        child.kill()
        child.communicate(timeout=WAIT_S)


def test_children_serve_threads_side_by_side(original: Path, tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            with in_child() as child:
                for turn in range(5):
                    into = tmp_path / f"{number}-{turn}"
                    into.mkdir()
                    if random.Random(number * 7 + turn).random() < 0.3 and child.pid:
                        os.kill(child.pid, signal.SIGKILL)
                        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
                    assert process(child, original, into).width == 300
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert failures == []


def test_every_kind_of_error_has_a_name_of_its_own() -> None:
    kinds: list[Callable[..., ImagingError]] = [ImagingError, *ImagingError.__subclasses__()]
    assert len({kind.kind for kind in kinds}) == len(kinds)  # type: ignore[attr-defined]


@linux_only
def test_a_new_memory_limit_holds_from_the_next_image_on(original: Path, into: Path) -> None:
    limit = [GIB]
    processor = InChild(RECIPE, Limits(), lambda: limit[0], sync=False)
    try:
        processor.start()
        first = processor.pid
        assert first is not None
        before = psutil.Process(first).rlimit(psutil.RLIMIT_AS)[0]
        process(processor, original, into)
        assert processor.pid == first
        limit[0] = GIB // 2
        process(processor, original, into)
        second = processor.pid
        assert second is not None
        assert not psutil.pid_exists(first)
        lowered = before - psutil.Process(second).rlimit(psutil.RLIMIT_AS)[0]
        assert abs(lowered - GIB // 2) < 64 * 2**20  # beside what the interpreter itself has mapped
        process(processor, original, into)
        assert processor.pid == second
    finally:
        processor.close()

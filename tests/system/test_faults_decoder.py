"""Decoders that crash, hang, are killed or eat memory, in the real server: one image pays, within its limit."""

from __future__ import annotations

import fcntl
import signal
import sys
import termios
from pathlib import Path

import psutil
import pytest

from pictures import flat, photo
from serving import Server, wait_for
from stopwatch import Stopwatch

pytestmark = pytest.mark.alone

LIMIT_S = 2.0


def stopped_before_its_image(server: Server, picture: bytes) -> tuple[psutil.Process, str]:
    """The one decoder child, stopped, and the image that it has been given, of which it has read nothing yet."""
    child = server.stopped_decoder()
    image_id = server.upload(picture)[1]["images"][0]["id"]
    wait_for(lambda: unread_bytes(child) > 0, "the child to be given the image")
    return child, image_id


def unread_bytes(child: psutil.Process) -> int:
    """How much lies in the pipe to the child. The record says `processing` before it is asked, and one that ends until
    then is replaced, and blamed on no image.
    """
    descriptors = Path(f"/proc/{child.pid}/fd").iterdir()
    (requests,) = (
        each for each in descriptors if str(each.readlink()).startswith("pipe:") and each.lstat().st_mode & 0o400
    )
    with requests.open("rb", buffering=0) as pipe:
        return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def child_at_work(server: Server, image_id: str) -> psutil.Process:
    """The one decoder child, stopped while it reads this image."""
    (child,) = server.gunicorn_process().children()

    def stopped_at_work() -> bool:
        child.suspend()
        if any(Path(file.path).name == image_id for file in child.open_files()):
            return True
        child.resume()
        return False

    wait_for(stopped_at_work, "the child to be at work")
    return child


def check_the_next_is_unaffected(server: Server) -> None:
    image_id = server.upload(photo())[1]["images"][0]["id"]
    wait_for(lambda: server.get(f"/api/images/{image_id}")["state"] == "done", "the next image")
    assert server.get(f"/api/images/{image_id}")["attempts"] == 1
    assert len(server.gunicorn_process().children()) == 1


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT])
def test_a_decoder_that_crashes_fails_its_image_at_once(tmp_path: Path, number: signal.Signals) -> None:
    with Server(tmp_path / "data", "--workers", "1") as server:
        child, image_id = stopped_before_its_image(server, photo())
        child.send_signal(number)
        child.resume()
        wait_for(lambda: server.get(f"/api/images/{image_id}")["state"] == "failed", "the image to fail")
        image = server.get(f"/api/images/{image_id}")
        assert image["attempts"] == 1
        assert number.name in image["error"]
        check_the_next_is_unaffected(server)


def test_a_decoder_that_hangs_fails_its_image_within_a_second_of_the_limit(tmp_path: Path) -> None:
    with Server(tmp_path / "data", "--workers", "1", "--job-timeout-s", str(LIMIT_S)) as server:
        with Stopwatch() as watch:
            _, image_id = stopped_before_its_image(server, photo())  # and stays stopped
            wait_for(lambda: server.get(f"/api/images/{image_id}")["state"] == "failed", "the image to fail")
        image = server.get(f"/api/images/{image_id}")
        assert LIMIT_S <= image["service_s"] <= LIMIT_S + 1 + watch.lost_s
        assert "longer than the limit of 2 s" in image["error"]
        check_the_next_is_unaffected(server)
        print(f"\nlimit {LIMIT_S} s: failed after {image['service_s']:.2f} s")


def test_a_decoder_that_wants_too_much_memory_fails_its_image(tmp_path: Path) -> None:
    with Server(tmp_path / "data", "--workers", "1", "--job-memory-bytes", "128MiB") as server:
        image_id = server.upload(flat(10_000, 9_000))[1]["images"][0]["id"]
        wait_for(lambda: server.get(f"/api/images/{image_id}")["state"] == "failed", "the image to fail")
        assert "more memory than one image may use" in server.get(f"/api/images/{image_id}")["error"]
        check_the_next_is_unaffected(server)


def test_a_decoder_killed_from_outside_costs_an_attempt_and_not_the_image(tmp_path: Path) -> None:
    with Server(tmp_path / "data", "--workers", "1", "--max-attempts", "2") as server:
        slow = flat(9_000, 9_000)  # long at work, and so to be met there
        server.stopped_decoder()  # until both are uploaded: the first must not be done before anybody looks
        spared, doomed = (server.upload(slow)[1]["images"][0]["id"] for _ in range(2))
        child_at_work(server, spared).kill()
        wait_for(lambda: server.get(f"/api/images/{spared}")["state"] == "done", "the second attempt")
        assert server.get(f"/api/images/{spared}")["attempts"] == 2
        for attempt in (1, 2):
            wait_for(lambda: server.get(f"/api/images/{doomed}")["attempts"] == attempt, "the attempt")  # noqa: B023
            child_at_work(server, doomed).kill()
        wait_for(lambda: server.get(f"/api/images/{doomed}")["state"] == "failed", "the image to fail")
        image = server.get(f"/api/images/{doomed}")
        assert image["attempts"] == 2
        assert image["error"].endswith("It was tried 2 times.")
        check_the_next_is_unaffected(server)

"""`kill -9` at random moments: what was accepted ends done or failed, once, with whole variants or none."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from pictures import photo
from serving import BROKEN, END_S, WAIT_S, Server, wait_for

FAULTY = str(Path(__file__).parent.parent / "faulty_server.py")


def test_a_killed_gunicorn_process_is_replaced_and_goes_on(tmp_path: Path) -> None:
    with Server(tmp_path / "data", "--workers", "1") as server:
        for seed in range(5):
            assert server.upload(photo(seed=seed))[0] == 202
        killed = server.gunicorn_process()
        children = server.decoders(1)
        files_of_master = psutil.Process(server.process.pid).num_fds()
        killed.kill()

        def answers() -> bool:
            try:
                return server.status_of("/healthz") == 200 and server.gunicorn_process() != killed
            except (*BROKEN, ValueError, psutil.Error):
                return False

        wait_for(answers, "a new gunicorn process")
        assert psutil.Process(server.process.pid).num_fds() == files_of_master, "left open with each that is replaced"
        assert server.wait_until_settled()["done"] == 5
        _, alive = psutil.wait_procs(children, timeout=WAIT_S)
        assert not alive, "its decoder child outlived it"


def test_an_image_that_takes_the_server_down_twice_is_failed(tmp_path: Path) -> None:
    """Its attempts are counted before they are made. The store takes no end of one, so that each kill meets it."""
    data_dir = tmp_path / "data"
    options = ("--workers", "1", "--max-attempts", "2")
    command = [sys.executable, FAULTY, "--port", "0", "--data-dir", str(data_dir), *options]
    data_dir.mkdir()
    (data_dir / "hold").touch()
    image_id = None
    for attempt in (1, 2):
        with Server(data_dir, command=command) as server:
            image_id = image_id or server.upload(photo())[1]["images"][0]["id"]
            wait_for(lambda: server.get(f"/api/images/{image_id}")["state"] == "processing", "the attempt")  # noqa: B023
            assert server.get(f"/api/images/{image_id}")["attempts"] == attempt
            server.kill()
    with Server(data_dir, *options) as server:
        image = server.get(f"/api/images/{image_id}")
        assert (image["state"], image["attempts"], image["variants"]) == ("failed", 2, [])
        assert "2 times" in image["error"]
        assert server.upload(photo())[0] == 202
        assert server.wait_until_settled()["done"] == 1


def test_sigterm_finishes_what_was_accepted(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", "--workers", "2")
    server.start()
    for seed in range(8):
        assert server.upload(photo(seed=seed))[0] == 202
    assert server.stop() == 0
    with Server(tmp_path / "data", "--workers", "2") as server:
        counts = server.get("/api/status")["counts"]
        assert (counts["done"], counts["accepted"]) == (8, 8), "a drain had time enough to finish"


def test_what_a_short_drain_leaves_is_done_after_the_next_start(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", "--workers", "1", "--drain-timeout-s", "0")
    server.start()
    for seed in range(8):
        assert server.upload(photo(2400, 1800, seed=seed))[0] == 202
    assert server.stop() == 0
    with Server(tmp_path / "data", "--workers", "2") as server:
        counts = server.wait_until_settled()
        assert (counts["done"], counts["failed"], counts["accepted"]) == (8, 0, 8)
        images = server.get("/api/images")["images"]
        assert [image["attempts"] for image in images] == [1] * 8, "a hand-over is not an attempt"


def test_the_second_server_on_a_data_directory_is_refused(tmp_path: Path) -> None:
    with Server(tmp_path / "data") as server:
        second = subprocess.run([*server.command], capture_output=True, text=True, timeout=WAIT_S, check=False)
        assert second.returncode == 1
        assert second.stdout == ""
        lines = second.stderr.strip().splitlines()
        assert len(lines) == 1, lines
        assert "uses the data directory" in lines[0]
        assert str(tmp_path / "data") in lines[0]
        assert server.status_of("/readyz") == 200


def test_a_disk_that_takes_no_variants_costs_time_and_no_image(tmp_path: Path) -> None:
    """The output directory goes away under a running server, and comes back: workers wait, admission says no."""
    data_dir, output = tmp_path / "data", tmp_path / "output"
    with Server(data_dir, "--output-dir", str(output), "--workers", "1", "--queue-capacity", "2") as server:
        assert server.upload(photo())[0] == 202
        server.wait_until_settled()
        server.steer(paused=True)
        assert [server.upload(photo(seed=seed))[0] for seed in (1, 2)] == [202, 202]
        away = output.rename(tmp_path / "away")
        server.steer(paused=False)
        wait_for(lambda: any("trying again" in line for line in server.log), "a worker to wait for the disk")
        wait_for(lambda: server.get("/api/status")["reason"] == "store_failed", "the missing disk to be noticed")
        assert server.upload(photo())[0] == 503
        assert server.get("/api/status")["disk"]["free_bytes"] is None
        away.rename(output)
        counts = server.wait_until_settled()
        assert (counts["done"], counts["failed"]) == (3, 0)


def test_ctrl_c_in_a_flood_of_connections_finishes_what_was_accepted(tmp_path: Path) -> None:
    """The signal may find the main thread anywhere, in the thread pool's lock too."""
    for round_number in range(3):
        server = Server(tmp_path / f"data{round_number}", "--workers", "1", "--queue-capacity", "8")
        server.start()
        assert server.upload(photo())[0] == 202
        sockets = [socket.create_connection(("127.0.0.1", server.port), timeout=WAIT_S) for _ in range(90)]
        for sock in sockets:
            sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        family = server.family()
        for process in family[:2]:
            process.send_signal(signal.SIGINT)
        assert server.process.wait(END_S) == 0
        server.wait_until_gone(family)
        for sock in sockets:
            sock.close()
        with Server(server.data_dir) as again:
            assert again.wait_until_settled()["done"] == 1


@pytest.mark.alone  # it takes no longer than two seconds
def test_a_slow_upload_gets_an_answer_when_the_server_stops(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", "--drain-timeout-s", "2")
    server.start()
    with socket.create_connection(("127.0.0.1", server.port), timeout=WAIT_S) as sock:
        sock.sendall(b"POST /api/images HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 500000\r\n\r\n" + photo()[:1000])
        wait_for(lambda: server.get("/api/status")["pool"]["queue"]["reserved"] == 1, "the slot to be held")
        assert server.stop() == 0
        answer = sock.recv(100_000)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: 5" in answer
    assert not list((server.data_dir / "originals").iterdir())


def test_signals_that_add_processes_change_nothing(tmp_path: Path) -> None:
    with Server(tmp_path / "data", "--workers", "1") as server:
        server.decoders(1)
        before = server.family()
        for number in (signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGUSR2):
            server.process.send_signal(number)
        assert server.upload(photo())[0] == 202
        assert server.wait_until_settled()["done"] == 1
        assert server.family() == before


def test_a_relative_data_directory_serves_its_variants(tmp_path: Path) -> None:
    """As the README's first command does: a decoder child and Flask each have a directory of their own."""
    with Server(Path("here"), "--workers", "1", cwd=tmp_path) as server:
        image_id = server.upload(photo())[1]["images"][0]["id"]
        server.wait_until_settled()
        assert server.status_of(f"/api/images/{image_id}/thumb") == 200
    assert (tmp_path / "here" / "imgpool.db").exists()


def test_a_port_in_use_is_refused_in_one_line(tmp_path: Path) -> None:
    with Server(tmp_path / "data") as server:
        command = [*server.command[:4], "--port", str(server.port), "--data-dir", str(tmp_path / "other")]
        second = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)
        assert second.returncode == 2
        assert len(second.stderr.strip().splitlines()) == 1
        assert str(server.port) in second.stderr


def test_clients_that_say_nothing_take_no_thread(tmp_path: Path) -> None:
    """They would keep it for ten minutes."""
    with Server(tmp_path / "data", "--queue-capacity", "4", "--http-threads", "8", "--read-timeout-s", "600") as server:
        silent = [socket.create_connection(("127.0.0.1", server.port), timeout=WAIT_S) for _ in range(60)]
        assert server.status_of("/healthz") == 200
        for sock in silent:
            sock.close()

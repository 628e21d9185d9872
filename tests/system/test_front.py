"""What waits for a client costs no thread: headers on their way, answers that nobody reads, bodies that trickle."""

from __future__ import annotations

import http.client
import json
import resource
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest

from pictures import photo
from rawhttp import connect, elapsed_s, head, read_all, read_answer
from serving import PATIENT, Server, wait_for
from stopwatch import Stopwatch

pytestmark = pytest.mark.alone

BODY = photo(3000, 2250)
GET = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
MANY = 200


def reserved(server: Server) -> int:
    return int(server.get("/api/status")["pool"]["queue"]["reserved"])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("front") / "data", "--workers", "1", "--http-threads", "8") as running:
        yield running


# Headers


def test_headers_that_drip_hold_nobody_up(server: Server) -> None:
    with ExitStack() as stack:
        dripping = [stack.enter_context(closing(connect(server))) for _ in range(MANY)]
        slowest = 0.0
        for byte in (b"P", b"O", b"S", b"T", b" ", b"/", b"a"):
            for sock in dripping:
                sock.sendall(byte)
            slowest = max(slowest, elapsed_s(server, "/healthz"), elapsed_s(server, "/status"))
        status, _, _ = server.upload(photo())
        assert status == 202
        print(f"\n{MANY} clients drip their headers at 8 threads: pages took {1000 * slowest:.0f} ms at most")
        assert slowest < 1


def test_headers_that_never_end_get_their_408(tmp_path: Path) -> None:
    with Server(tmp_path / "data", "--read-timeout-s", "1") as server, closing(connect(server)) as sock:
        with Stopwatch() as watch:
            sock.sendall(head(100)[:-2])
            answer = read_all(sock)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert watch.s + watch.lost_s > 0.9
        assert watch.s < 5


def test_headers_without_end_are_too_large(server: Server) -> None:
    with closing(connect(server)) as sock:
        sock.sendall(head(100)[:-2] + b"".join(b"X-%d: %s\r\n" % (n, b"x" * 1000) for n in range(40)))
        assert read_all(sock).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    "malformed", [b"GET / HTTP/1.1\nHost: a\n\n", b"nonsense\r\n\r\n", b"\r\n\r\n", b"GET / HTTP/1.1\r\nbad\r\n\r\n"]
)
def test_what_is_no_request_is_told_so(server: Server, malformed: bytes) -> None:
    with closing(connect(server)) as sock:
        sock.sendall(malformed)
        assert read_all(sock).startswith(b"HTTP/1.1 400 ")


def test_headers_byte_by_byte_make_a_request(server: Server) -> None:
    with closing(connect(server)) as sock:
        for byte in b"\r\n" + GET:
            sock.sendall(bytes([byte]))
        assert read_answer(sock, "GET")[0] == 200


def test_requests_in_one_packet_are_answered_one_after_the_other(server: Server) -> None:
    picture = photo(320, 240)
    upload = head(len(picture)) + picture
    with closing(connect(server)) as sock:
        sock.sendall(GET + upload + GET + upload[:-10])
        got = [read_answer_exactly(sock) for _ in range(3)]
        assert [status for status, _ in got] == [200, 202, 200]
        sock.sendall(upload[-10:] + GET[:20])
        status, body = read_answer_exactly(sock)
        assert status == 202
        assert len(json.loads(body)["images"]) == 1
        sock.sendall(GET[20:])
        assert read_answer_exactly(sock)[0] == 200


def read_answer_exactly(sock: socket.socket) -> tuple[int, bytes]:
    """One answer, and not a byte of the one behind it."""
    raw = b""
    while not raw.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)
        assert byte, raw
        raw += byte
    length = next(int(line[16:]) for line in raw.split(b"\r\n") if line.lower().startswith(b"content-length: "))
    body = b""
    while len(body) < length:
        body += sock.recv(length - len(body))
    return int(raw[9:12]), body


def test_an_answer_before_the_end_of_the_body_ends_the_connection_and_holds_no_thread(server: Server) -> None:
    with ExitStack() as stack:
        for _ in range(3 * 8):  # three times as many as there are threads
            sock = stack.enter_context(closing(connect(server)))
            sock.sendall(head(100, path="/nothing"))
            status, headers, _ = read_answer(sock)
            assert (status, headers["connection"]) == (404, "close")
        took = elapsed_s(server, "/healthz")
        print(f"\nafter 24 bodies that nobody reads and nobody sends: {1000 * took:.0f} ms")
        assert took < 1


# Expect: 100-continue


def test_who_asks_first_gets_a_100_and_then_his_202(server: Server) -> None:
    with closing(connect(server)) as sock:
        sock.sendall(head(len(BODY), "Expect: 100-continue"))
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(BODY)
        assert read_answer(sock)[0] == 202


@pytest.mark.parametrize(
    ("lines", "path", "length", "status"),
    [
        ((), "/api/images", 1 << 40, b"413"),
        (("Content-Type: multipart/form-data; boundary=x",), "/api/images", 1 << 50, b"413"),
        (("Content-Type: multipart/form-data",), "/api/images", 1000, b"400"),
        (("Sec-Fetch-Site: cross-site",), "/api/images", 1000, b"403"),
        (("Origin: http://evil.example",), "/upload", 1000, b"403"),
        ((), "/nothing", 1000, b"404"),
        ((), "/api/status", 1000, b"405"),
    ],
)
def test_who_asks_first_and_is_refused_gets_no_100(
    server: Server, lines: tuple[str, ...], path: str, length: int, status: bytes
) -> None:
    with closing(connect(server)) as sock:
        sock.sendall(head(length, "Expect: 100-continue", *lines, path=path))
        answer = read_all(sock)
        assert answer.startswith(b"HTTP/1.1 " + status), answer
        assert b"100 Continue" not in answer


# After the answer


def test_clients_that_linger_after_a_refusal_hold_nobody_up(tmp_path: Path) -> None:
    with (
        Server(tmp_path / "data", "--workers", "1", "--queue-capacity", "1", "--http-threads", "8", *PATIENT) as server,
        ExitStack() as stack,
    ):
        holder = stack.enter_context(closing(connect(server)))
        holder.sendall(head(len(BODY)) + BODY[:100_000])
        wait_for(lambda: reserved(server) == 1, "the slot to be held")
        slowest = 0.0
        for number in range(MANY):
            sock = stack.enter_context(closing(connect(server)))
            sock.sendall(head(1_000_000) + b"x" * 1000 * (number % 3))
            assert read_answer(sock)[0] == 503
            if number % 20 == 0:
                slowest = max(slowest, elapsed_s(server, "/healthz"), elapsed_s(server, "/status"))
        print(f"\n{MANY} refused clients linger at 8 threads: pages took {1000 * slowest:.0f} ms at most")
        assert slowest < 1


# Slow bodies


def test_a_slow_upload_keeps_its_place_until_another_one_wants_it(tmp_path: Path) -> None:
    with (
        Server(tmp_path / "data", "--workers", "1", "--queue-capacity", "1") as server,
        closing(connect(server)) as slow,
    ):
        slow.sendall(head(len(BODY)) + BODY[:10])
        wait_for(lambda: reserved(server) == 1, "the slot to be held")
        time.sleep(2.5)  # beyond the short grace
        assert reserved(server) == 1, "nobody else wants its place"
        with Stopwatch() as watch:
            status, _, _ = server.upload(photo())
        print(f"\nan upload that found every place held by a slow one: 202 after {1000 * watch.s:.0f} ms")
        assert status == 202
        assert watch.s < 1
        status, _, body = read_answer(slow)
        assert (status, json.loads(body)["type"]) == (408, "/problems/too-slow")


def test_an_upload_that_is_not_slow_keeps_its_place(tmp_path: Path) -> None:
    options = ("--workers", "1", "--queue-capacity", "1", "--min-upload-bytes-per-s", "100")
    with Server(tmp_path / "data", *options) as server, closing(connect(server)) as steady:
        steady.sendall(head(len(BODY)) + BODY[:10_000])
        wait_for(lambda: reserved(server) == 1, "the slot to be held")
        time.sleep(2.5)
        assert server.upload(photo())[0] == 503
        steady.sendall(BODY[10_000:])
        assert read_answer(steady)[0] == 202


def test_slow_clients_in_great_number_keep_nobody_out(tmp_path: Path) -> None:
    """200 bodies at a byte a second and 200 headers that never end, against an ordinary upload and the status page."""
    with Server(tmp_path / "data", "--workers", "1", "--queue-capacity", "16") as server, ExitStack() as stack:
        bodies = [stack.enter_context(closing(connect(server))) for _ in range(MANY)]
        heads = [stack.enter_context(closing(connect(server))) for _ in range(MANY)]
        for sock in bodies:
            sock.sendall(head(1_000_000) + BODY[:10])
        for sock in heads:
            sock.sendall(head(1_000_000)[:-4])
        waits: list[float] = []
        pages: list[float] = []
        for second in range(12):
            for sock in (*bodies, *heads):
                with suppress(OSError):  # let go of
                    sock.sendall(b"x")
            time.sleep(1)
            pages.append(elapsed_s(server, "/status"))
            if second >= 2:
                with Stopwatch() as watch:
                    assert server.upload(photo(320, 240))[0] == 202
                waits.append(watch.s)
        counts = server.get("/api/status")["refused_by"]
        print(
            f"\n200 slow bodies and 200 slow headers: 10 uploads of 10 got in, the slowest after {max(waits):.3f} s; "
            f"/status took {max(pages):.3f} s at most; refused: {counts}"
        )
        assert max(waits) < 1
        assert max(pages) < 1
        assert counts["too_slow"] == 16, "each of those that had a place"
        assert all(b" 408 " in read_until_broken(sock) for sock in heads)
        assert server.wait_until_settled()["done"] == 10


def read_until_broken(sock: socket.socket) -> bytes:
    """As `read_all`, for who went on sending after the answer: the server listens to that for some seconds only."""
    got = b""
    with suppress(ConnectionResetError):
        while data := sock.recv(65536):
            got += data
    return got


# Small bodies


def test_small_bodies_that_trickle_hold_nobody_up(tmp_path: Path) -> None:
    options = ("--workers", "1", "--http-threads", "8", "--token", "a-token-for-tests", "--read-timeout-s", "3")
    form = b"token=a-token-for-tests"
    with Server(tmp_path / "data", *options) as server, ExitStack() as stack:
        slow = [stack.enter_context(closing(connect(server))) for _ in range(MANY)]
        urlencoded = "Content-Type: application/x-www-form-urlencoded"
        for sock in slow:
            sock.sendall(head(1000, urlencoded, path="/sign-in") + b"t")
        slowest = max(elapsed_s(server, "/healthz") for _ in range(5))
        print(f"\n{MANY} sign-ins trickle at 8 threads: a page took {1000 * slowest:.0f} ms at most")
        assert slowest < 1
        for pieces in ([form], [form[:5], form[5:]]):
            with closing(connect(server)) as sock:
                sock.sendall(head(len(form), urlencoded, "Expect: 100-continue", path="/sign-in"))
                assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
                for piece in pieces:
                    sock.sendall(piece)
                assert read_answer(sock)[0] == 303
        with closing(connect(server)) as sock:
            sock.sendall(head(None, urlencoded, "Transfer-Encoding: chunked", path="/sign-in"))
            assert read_all(sock).startswith(b"HTTP/1.1 411 ")
        with closing(connect(server)) as sock:
            sock.sendall(head(10_000_000, urlencoded, path="/sign-in"))
            assert read_answer(sock)[0] == 413
        assert all(read_all(sock).startswith(b"HTTP/1.1 408 ") for sock in slow)


def test_resumable_uploads_that_trickle_keep_nobody_out(tmp_path: Path) -> None:
    """A byte with each request, and no connection that is held: sixteen bytes a second could hold all places."""
    with Server(tmp_path / "data", "--workers", "1", "--queue-capacity", "4") as server:
        tus = "Tus-Resumable: 1.0.0"

        def ask(method: str, path: str, *more: str, body: bytes = b"") -> tuple[int, dict[str, str]]:
            with closing(connect(server)) as sock:
                lines = head(len(body), tus, *more, path=path).replace(b"POST", method.encode(), 1)
                sock.sendall(lines + body)
                return read_answer(sock)[:2]

        begun = [ask("POST", "/api/uploads", "Upload-Length: 100000") for _ in range(4)]
        assert [status for status, _ in begun] == [201] * 4
        assert server.upload(photo(320, 240))[0] == 503
        for offset in range(6):
            time.sleep(0.4)
            for _, headers in begun:
                content = "Content-Type: application/offset+octet-stream"
                status, _ = ask("PATCH", headers["location"], content, f"Upload-Offset: {offset}", body=b"\xff")
                assert status == 204
        assert [server.upload(photo(320, 240))[0] for _ in range(4)] == [202] * 4
        assert server.wait_until_settled()["done"] == 4


def test_requests_for_one_upload_hold_one_thread(tmp_path: Path) -> None:
    """Each takes the upload over from the one before, which would wait for its bytes although they count no more."""
    with Server(tmp_path / "data", "--workers", "1", "--http-threads", "8") as server, ExitStack() as stack:
        with closing(connect(server)) as sock:
            sock.sendall(head(0, "Tus-Resumable: 1.0.0", "Upload-Length: 100000", path="/api/uploads"))
            location = read_answer(sock)[1]["location"]
        content = ("Tus-Resumable: 1.0.0", "Upload-Offset: 0", "Content-Type: application/offset+octet-stream")
        patch = head(50_000, *content, path=location).replace(b"POST", b"PATCH", 1)
        for _ in range(3 * 8):
            stack.enter_context(closing(connect(server))).sendall(patch)
        slowest = max(elapsed_s(server, path) for path in ("/healthz", "/status", "/api/status"))
        print(f"\n24 requests for one upload at 8 threads: pages took {1000 * slowest:.0f} ms at most")
        assert slowest < 2
        with closing(connect(server)) as sock:
            sock.sendall(patch + b"\xff" * 50_000)
            assert read_answer(sock)[0] == 415  # read to where it shows that these are no image


# Answers


def asking_without_reading(server: Server, path: str, stack: ExitStack) -> None:
    """A client that asks until nothing more fits into the buffers, and reads none of the answers."""
    sock = stack.enter_context(closing(socket.socket()))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    sock.settimeout(5)
    sock.connect(("127.0.0.1", server.port))
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode() * 30)


def test_answers_that_nobody_reads_hold_nobody_up(tmp_path: Path) -> None:
    with Server(tmp_path / "data", "--workers", "1", "--http-threads", "8") as server, ExitStack() as stack:
        image_id = server.upload(BODY)[1]["images"][0]["id"]
        server.wait_until_settled()
        for _ in range(3 * 8):  # three times as many as there are threads
            asking_without_reading(server, f"/api/images/{image_id}/large", stack)
        slowest = max(elapsed_s(server, path) for path in ("/healthz", "/status", "/api/status"))
        assert server.upload(photo())[0] == 202
        print(f"\n24 clients read no answer at 8 threads: pages took {1000 * slowest:.0f} ms at most")
        assert slowest < 3
        assert not [line for line in server.log if "Traceback" in line]


def test_an_answer_that_nobody_reads_is_given_up(tmp_path: Path) -> None:
    with Server(tmp_path / "data", "--http-threads", "4", "--read-timeout-s", "1") as server, ExitStack() as stack:
        image_id = server.upload(BODY)[1]["images"][0]["id"]
        server.wait_until_settled()
        asking_without_reading(server, f"/api/images/{image_id}/large", stack)
        wait_for(lambda: "a client did not read its answer" in "".join(server.log), "the client to be let go")
        assert not [line for line in server.log if "Traceback" in line]


def test_answers_that_nobody_reads_do_not_keep_the_server_from_stopping(tmp_path: Path) -> None:
    with Server(tmp_path / "data", "--drain-timeout-s", "2", "--read-timeout-s", "60") as server, ExitStack() as stack:
        image_id = server.upload(BODY)[1]["images"][0]["id"]
        server.wait_until_settled()
        for _ in range(5):
            asking_without_reading(server, f"/api/images/{image_id}/large", stack)
        with Stopwatch() as watch:
            assert server.stop() == 0
        assert watch.s < 6


# Connections


def test_headers_that_never_end_make_way_at_the_limit_of_connections(tmp_path: Path) -> None:
    serve = f"{sys.executable} -m imgpool serve --port 0 --data-dir {tmp_path}/data --workers 1 --queue-capacity 8"
    command = ["/bin/sh", "-c", f"ulimit -n 256; exec {serve}"]
    with Server(tmp_path / "data", command=command) as server, ExitStack() as stack:
        for _ in range(400):
            stack.enter_context(closing(connect(server))).sendall(GET[:20])
        slowest = max(elapsed_s(server, "/healthz") for _ in range(3))
        print(f"\n400 unfinished headers at a limit of 256 open files: {1000 * slowest:.0f} ms at most")
        assert slowest < 2


def test_silent_connections_make_way_when_descriptors_run_out(tmp_path: Path) -> None:
    serve = f"{sys.executable} -m imgpool serve --port 0 --data-dir {tmp_path}/data --workers 1 --queue-capacity 8"
    command = ["/bin/sh", "-c", f"ulimit -n 256; exec {serve}"]
    with Server(tmp_path / "data", command=command) as server, ExitStack() as stack:
        for _ in range(400):
            stack.enter_context(closing(connect(server)))
        with Stopwatch() as watch:
            assert server.upload(photo(320, 240))[0] == 202
        assert server.wait_until_settled()["done"] == 1
        print(f"\n400 silent connections at a limit of 256 open files: 202 after {1000 * watch.s:.0f} ms")
        assert watch.s < 2
        assert not [line for line in server.log if "file descriptor" in line or "Traceback" in line]


def test_connections_are_taken_again_when_descriptors_are_there_again(tmp_path: Path) -> None:
    def ten_are_kept(server: Server) -> bool:
        with ExitStack() as stack:
            clients = [stack.enter_context(closing(connect(server))) for _ in range(10)]
            try:
                for client in [*clients, *clients]:  # each twice: it was kept while the others came
                    client.sendall(GET)
                    if read_answer(client, "GET")[0] != 200:
                        return False
            except (OSError, http.client.HTTPException):  # let go of, to make room
                return False
            return True

    with Server(tmp_path / "data", "--workers", "1") as server:
        process = server.gunicorn_process()
        usual = process.rlimit(resource.RLIMIT_NOFILE)
        process.rlimit(resource.RLIMIT_NOFILE, (3, usual[1]))
        with closing(connect(server)) as client:
            client.sendall(GET)
            wait_for(lambda: any("no file descriptor" in line for line in server.log), "the log to say it")
            process.rlimit(resource.RLIMIT_NOFILE, usual)
            assert read_answer(client, "GET")[0] == 200, "who waited meanwhile is served"
        wait_for(lambda: ten_are_kept(server), "as many connections as before")
        assert server.upload(photo(320, 240))[0] == 202
        server.wait_until_settled()

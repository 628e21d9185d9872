"""What HTTP can be made to say, on raw sockets: the right status each time, and a server that goes on as before.

Every case is followed by the same look at the server: it answers, no slot is held, what was received adds up, and the
originals on the disk are those of the records.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from pictures import photo
from rawhttp import connect
from serving import Server, wait_for

PHOTO = photo(320, 240)
HOST = b"Host: 127.0.0.1\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CLOSE = b"Connection: close\r\n"
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("hostile") / "data"
    options = ("--workers", "1", "--isolation", "thread")
    with Server(data, *options, "--queue-capacity", "128") as server:
        yield server
        server.stop()
        assert not [line for line in server.log if "Traceback" in line], "a mistake of ours"


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    before, process = running.get("/api/status")["since_start"]["received"], running.gunicorn_process().pid
    yield running
    assert running.gunicorn_process().pid == process, "another process answers now: the first one has died of it"
    running.wait_until_settled()

    def at_rest() -> bool:
        told = running.get("/api/status")
        return bool(told["pool"]["queue"]["reserved"] == 0)

    wait_for(at_rest, "the slots to be free")
    told = running.get("/api/status")
    since, counts = told["since_start"], told["counts"]
    assert since["received"] >= before
    assert since["received"] == since["accepted"] + since["refused"]
    assert since["refused"] == sum(told["refused_by"].values())
    assert since["accepted"] == counts["accepted"] == counts["done"] + counts["failed"] + counts["deleted"]
    kept = {path.name for path in (running.data_dir / "originals").iterdir()}
    assert len(kept) == counts["done"] + counts["failed"], "an original without a record, or half of one"
    assert running.status_of("/healthz") == 200


def talk(server: Server, *sent: bytes, end: bool = False) -> bytes:
    """Send these, and read until the server ends the connection; `end` ends our side first."""
    received = b""
    with closing(connect(server)) as sock:
        with suppress(ConnectionError):  # the server may have answered and gone before all was sent
            for data in sent:
                sock.sendall(data)
            if end:
                sock.shutdown(socket.SHUT_WR)
        with suppress(ConnectionError):
            while data := sock.recv(65536):
                received += data
    return received


def statuses(answer: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3}) ", answer)]


def post(body: bytes, *headers: bytes, target: bytes = b"/api/images?name=a.jpg", close: bytes = CLOSE) -> bytes:
    return b"POST " + target + b" HTTP/1.1\r\n" + HOST + close + b"".join(headers) + b"\r\n" + body


def length(n: int | bytes) -> bytes:
    return b"Content-Length: %s\r\n" % (n if isinstance(n, bytes) else b"%d" % n)


def chunks(*data: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in data) + end


def get(target: bytes, *headers: bytes, host: bytes = HOST) -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\n" + host + b"".join(headers) + CLOSE + b"\r\n"


BODIES: dict[str, tuple[bytes, int]] = {
    "chunked": (post(chunks(PHOTO[:999], PHOTO[999:]), CHUNKED), 202),
    "chunked by single bytes": (post(chunks(*(bytes([byte]) for byte in PHOTO[:5000]), PHOTO[5000:]), CHUNKED), 202),
    "a chunk with an extension": (post(b"5;a=b\r\n" + PHOTO[:5] + b"\r\n" + chunks(PHOTO[5:]), CHUNKED), 202),
    "a trailer": (post(chunks(PHOTO, end=b"0\r\nX-Sum: 1\r\n\r\n"), CHUNKED), 202),
    "a size that is no number": (post(b"zz\r\nabc\r\n0\r\n\r\n", CHUNKED), 400),
    "a negative size": (post(b"-5\r\nabcde\r\n0\r\n\r\n", CHUNKED), 400),
    "a size with 0x": (post(b"0x5\r\nabcde\r\n0\r\n\r\n", CHUNKED), 400),
    "a size with an underscore": (post(b"1_0\r\n" + b"a" * 16 + b"\r\n0\r\n\r\n", CHUNKED), 400),
    "a size of 100,000 digits": (post(b"5" * 100_000, CHUNKED), 400),
    "an extension without end": (post(b"5;" + b"a" * 300_000, CHUNKED), 400),
    "a chunk longer than its size": (post(b"5\r\nabcdefgh\r\n0\r\n\r\n", CHUNKED), 400),
    "trailers without end": (post(chunks(PHOTO, end=b"0\r\n" + b"X-A: b\r\n" * 200_000), CHUNKED), 400),
    "a length in a trailer": (post(chunks(PHOTO, end=b"0\r\nContent-Length: 5\r\n\r\n"), CHUNKED), 400),
    "no length": (post(b""), 400),
    "no length, and a body": (post(PHOTO), 400),
    "no bytes": (post(b"", length(0)), 400),
    "twice the same length": (post(b"abcde", length(5), length(5)), 400),
    "two lengths": (post(b"abcdef", length(5), length(6)), 400),
    "a list of lengths": (post(b"abcde", length(b"5, 5")), 400),
    "a length with a sign": (post(b"abcde", length(b"+5")), 400),
    "a negative length": (post(b"abcde", length(b"-5")), 400),
    "a hexadecimal length": (post(b"abcde", length(b"0x5")), 400),
    "a length with an underscore": (post(b"a" * 10, length(b"1_0")), 400),
    "an empty length": (post(b"abcde", length(b"")), 400),
    "a length of 30 digits": (post(b"abcde", length(b"9" * 30)), 413),
    "a length of 5000 digits": (post(b"abcde", length(b"9" * 5000)), 400),
    "a length and chunks": (post(chunks(PHOTO), length(5), CHUNKED), 400),
    "chunks and a length": (post(chunks(PHOTO), CHUNKED, length(5)), 400),
    "chunks twice": (post(chunks(PHOTO), CHUNKED, CHUNKED), 400),
    "chunks, but not last": (post(chunks(PHOTO), b"Transfer-Encoding: chunked, identity\r\n"), 400),
    "a coding that nobody knows": (post(chunks(PHOTO), b"Transfer-Encoding: xchunked\r\n"), 501),
    "a coding behind a vertical tab": (post(chunks(PHOTO), b"Transfer-Encoding: \x0bchunked\r\n"), 400),
    "a space before the colon": (post(chunks(PHOTO), b"Transfer-Encoding : chunked\r\n"), 400),
    "a header with an underscore": (post(b"abc", b"Transfer_Encoding: chunked\r\n", length(3)), 415),
    "chunks in HTTP/1.0": (post(chunks(PHOTO), CHUNKED).replace(b"HTTP/1.1", b"HTTP/1.0", 1), 400),
    "an expectation": (post(PHOTO, length(len(PHOTO)), b"Expect: 100-continue\r\n"), 202),
    "another expectation": (post(PHOTO, length(len(PHOTO)), b"Expect: 200-ok\r\n"), 417),
}


@pytest.mark.parametrize("case", BODIES)
def test_bodies_and_their_lengths(server: Server, case: str) -> None:
    sent, expected = BODIES[case]
    assert statuses(talk(server, sent)) == [expected]


SILENCES: dict[str, bytes] = {
    "a size of 80 bits": post(b"f" * 20 + b"\r\nabc", CHUNKED),
    "line ends without CR": post(b"5\nabcde\n0\n\n", CHUNKED),
    "TLS": b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + b"\0" * 160,
}


def test_what_is_not_ended_gets_its_408_when_nothing_follows(tmp_path: Path) -> None:
    options = ("--workers", "1", "--isolation", "thread", "--read-timeout-s", "0.5")
    with Server(tmp_path / "data", *options) as impatient:
        for case, sent in SILENCES.items():
            assert statuses(talk(impatient, sent)) == [408], case
        told = impatient.get("/api/status")
        assert told["pool"]["queue"]["reserved"] == 0
        assert list((impatient.data_dir / "originals").iterdir()) == []
        impatient.stop()
        assert not [line for line in impatient.log if "Traceback" in line]


def test_a_body_shorter_than_announced_is_incomplete_and_nothing_of_it_is_kept(server: Server) -> None:
    for data in (PHOTO, PHOTO[:100], b""):
        answer = talk(server, post(data, length(len(PHOTO) + 10)), end=True)
        assert statuses(answer) == [400]
        assert b"/problems/incomplete" in answer


SMUGGLED = get(b"/api/images/smuggled")


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("chunks end, the length goes on", post(b"0\r\n\r\n" + SMUGGLED, CHUNKED, length(4), close=b"")),
        ("the length ends, chunks go on", post(chunks(SMUGGLED), length(4), CHUNKED, close=b"")),
        ("refused by its type, with a request behind", post(b"<svg>" + SMUGGLED, length(5), close=b"")),
        ("refused by its size, with a request in the body", post(SMUGGLED, length(10**12), close=b"")),
        ("another site's, with a request in the body", post(SMUGGLED, length(0), b"Origin: null\r\n", close=b"")),
        ("another name's", post(SMUGGLED, length(0), close=b"").replace(HOST, b"Host: x\r\n")),
    ],
)  # fmt: skip
def test_a_refused_body_is_never_taken_for_the_next_request(server: Server, name: str, sent: bytes) -> None:
    answer = talk(server, sent)
    assert len(statuses(answer)) == 1, name
    assert statuses(answer)[0] >= 400
    assert b"No such image" not in answer


def test_requests_in_a_row_are_answered_in_a_row(server: Server) -> None:
    row = [post(PHOTO, length(len(PHOTO)), close=b""), post(chunks(PHOTO), CHUNKED, close=b""), get(b"/healthz")]
    assert statuses(talk(server, b"".join(row))) == [202, 202, 200]
    told_less = talk(server, post(PHOTO, length(1000), close=b""))
    assert statuses(told_less) == [202, 400], "the rest of the photo is no request"


def part(filename: bytes = b"a.jpg", data: bytes = PHOTO, *more: bytes, name: bytes = b"file") -> bytes:
    disposition = b'Content-Disposition: form-data; name="%s"; filename="%s"\r\n' % (name, filename)
    return b"--XxX\r\n" + disposition + b"".join(more) + b"\r\n" + data + b"\r\n"


def field() -> bytes:
    return b'--XxX\r\nContent-Disposition: form-data; name="f"\r\n\r\nx\r\n'


def form(body: bytes, boundary: bytes = b"XxX", end: bytes = b"--XxX--\r\n") -> bytes:
    body += end
    content_type = b"Content-Type: multipart/form-data; boundary=%s\r\n" % boundary
    return post(body, content_type, length(len(body)), target=b"/api/images")


NESTED = (
    b'--XxX\r\nContent-Disposition: form-data; name="file"\r\nContent-Type: multipart/mixed; boundary=YyY\r\n\r\n'
    b'--YyY\r\nContent-Disposition: file; filename="a.jpg"\r\n\r\n' + PHOTO + b"\r\n--YyY--\r\n"
)
FORMS: dict[str, tuple[bytes, int, int, int]] = {  # request, status, images, refusals
    "one file": (form(part()), 202, 1, 0),
    "a hundred files": (form(b"".join(part(b"%d.jpg" % n) for n in range(100))), 202, 100, 0),
    "a thousand files that are none": (form(part(data=b"no") * 1000), 415, 0, 1000),
    "more files than allowed": (form(part(data=b"no") * 1200), 415, 0, 1001),
    "two thousand fields": (form(field() * 2000), 413, 0, 1),
    "a hundred fields and a file": (form(field() * 99 + part()), 202, 1, 0),
    "a part's header of a megabyte": (form(part(b"a.jpg", PHOTO, b"X: " + b"a" * MIB + b"\r\n")), 400, 0, 1),
    "ten thousand headers of a part": (form(part(b"a.jpg", PHOTO, b"X: a\r\n" * 10_000)), 202, 1, 0),
    "a file name of a megabyte": (form(part(b"a" * MIB)), 400, 0, 1),
    "a preamble of a megabyte": (form(b"a" * MIB + b"\r\n" + part()), 400, 0, 1),
    "an epilogue of a megabyte": (form(part(), end=b"--XxX--\r\n" + b"a" * MIB), 202, 1, 0),
    "a form in the epilogue": (form(part(), end=b"--XxX--\r\n" + part() + b"--XxX--\r\n"), 202, 1, 0),
    "no end": (form(part(), end=b""), 400, 0, 1),
    "an end and nothing before": (form(b""), 400, 0, 1),
    "nothing at all": (form(b"", end=b""), 400, 0, 1),
    "a boundary that is not in the body": (form(part(), b"b" * 70), 400, 0, 1),
    "a boundary of a thousand characters": (form(part(), b"b" * 1000), 400, 0, 1),
    "an empty boundary": (form(part(), b'""'), 400, 0, 1),
    "a file that ends like a boundary": (form(part(data=PHOTO + b"\r\n--XxY\r\n--Xx")), 202, 1, 0),
    "a form in a form": (form(NESTED), 415, 0, 1),
    "a part without a disposition": (form(b"--XxX\r\n\r\n" + PHOTO + b"\r\n"), 400, 0, 1),
    "a file and then a broken part": (form(part() + b"--XxX\r\n\r\nx\r\n"), 202, 1, 1),
    "a part that says base64": (form(part(b"a.jpg", PHOTO, b"Content-Transfer-Encoding: base64\r\n")), 202, 1, 0),
}


@pytest.mark.parametrize("case", FORMS)
def test_forms(server: Server, case: str) -> None:
    sent, status, images, refusals = FORMS[case]
    before = server.get("/api/status")["since_start"]
    answer = talk(server, sent)
    assert statuses(answer) == [status], answer[:500]
    told: dict[str, Any] = json.loads(answer.split(b"\r\n\r\n", 1)[1])
    assert (len(told.get("images", [])), len(told["refused"])) == (images, refusals)
    since = server.get("/api/status")["since_start"]
    assert since["accepted"] - before["accepted"] == images
    assert since["refused"] - before["refused"] == refusals


HEADERS = b"".join(b"X-%d: a\r\n" % n for n in range(90))
REQUESTS: dict[str, tuple[bytes, list[int]]] = {
    "ninety headers": (get(b"/healthz", HEADERS), [200]),
    "two hundred headers": (get(b"/healthz", HEADERS + HEADERS.replace(b"X-", b"Y-") * 2), [431]),
    "a header of 100 KB": (get(b"/healthz", b"X: " + b"a" * 100_000 + b"\r\n"), [431]),
    "a header without end": (get(b"/healthz")[:-2] + b"X: " + b"a" * (5 * MIB), [431]),
    "cookies of 8 KB": (get(b"/status", b"Cookie: " + b"a=b; " * 1600 + b"\r\n"), [200]),
    "a target of 100 KB": (get(b"/" + b"a" * 100_000), [431]),
    "a target of 5 KB": (get(b"/" + b"a" * 5000), [414]),
    "a target of 4000 bytes": (get(b"/" + b"a" * 4000), [404]),
    "a whole address": (get(b"http://127.0.0.1/healthz"), [200]),
    "the whole address of another server": (get(b"http://evil.example/healthz"), [421]),
    "a whole address, and another host": (get(b"http://127.0.0.1/healthz", host=b"Host: evil.example\r\n"), [200]),
    "no host": (get(b"/healthz", host=b""), [400]),
    "no host in HTTP/1.0": (b"GET /healthz HTTP/1.0\r\n\r\n", [200]),
    "two hosts": (get(b"/healthz", b"Host: evil.example\r\n"), [400]),
    "a tunnel": (b"CONNECT 127.0.0.1:22 HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n", [404]),
    "the server as such": (b"OPTIONS * HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n", [404]),
    "a target without a slash": (get(b"healthz"), [400]),
    "a fragment": (get(b"/healthz#a"), [200]),
    "a space in the target": (get(b"/a b"), [400]),
    "a NUL in the target": (get(b"/a\0b"), [400]),
    "an encoded NUL": (get(b"/api/images/%00"), [404]),
    "encoding that is none": (get(b"/api/images/%zz%ff%"), [404]),
    "bytes that are no ASCII": (get("/api/images/ü".encode()), [400]),
    "a NUL in a header": (get(b"/healthz", b"X: a\0b\r\n"), [400]),
    "a CR in a header": (get(b"/healthz", b"X: a\rb\r\n"), [400]),
    "a folded header": (get(b"/healthz", b"X: a\r\n b\r\n"), [400]),
    "a header without a name": (get(b"/healthz", b": a\r\n"), [400]),
    "HTTP/0.9": (b"GET /healthz\r\n\r\n", [400]),
    "HTTP/2 without asking": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [400]),
    "HTTP/3.7": (get(b"/healthz").replace(b"HTTP/1.1", b"HTTP/3.7"), [400]),
    "every byte there is": (bytes(range(256)) * 40, [400]),
    "a method in small letters": (get(b"/healthz").replace(b"GET", b"get", 1), [400]),
    "a method of 5 KB": (get(b"/").replace(b"GET", b"A" * 5000, 1), [414]),
    "a method of another protocol": (get(b"/").replace(b"GET", b"BREW", 1), [405]),
    "lines that end without CR": (b"GET /healthz HTTP/1.1\nHost: 127.0.0.1\n\n", [400]),
    "an upgrade": (get(b"/healthz", b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"), [200]),
    "a proxy's line": (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + get(b"/healthz"), [400]),
    "a header that is a CGI variable": (get(b"/healthz", b"SCRIPT_NAME: //evil.example\r\n"), [200]),
    "a header that is the path": (get(b"/api/images/x", b"PATH_INFO: /healthz\r\n"), [404]),
    "headers of proxies that disagree": (
        get(b"/healthz", b"X-Forwarded-Ssl: on\r\nX-Forwarded-Proto: http\r\n"),
        [200],
    ),
    "a thousand ranges": (get(b"/static/base.css", b"Range: bytes=" + b"0-0," * 999 + b"1-1\r\n"), [416]),
}


@pytest.mark.parametrize("case", REQUESTS)
def test_request_lines_and_headers(server: Server, case: str) -> None:
    sent, expected = REQUESTS[case]
    assert statuses(talk(server, sent)) == expected


NAMES: dict[str, tuple[bytes, str]] = {
    "a path": (b"../../../etc/passwd.jpg", "passwd.jpg"),
    "an absolute path": (b"/etc/cron.d/a.jpg", "a.jpg"),
    "a path of Windows": (b"C:\\\\Windows\\\\System32\\\\a.jpg", "a.jpg"),
    "dots": (b"..", ".."),
    "a folder": (b"folder/", "unnamed"),
    "control characters": (b"a\x01\x07\x1b[31mb\x7f.jpg", "a[31mb.jpg"),
    "a tab": (b"a\tb.jpg", "ab.jpg"),
    "a NUL": (b"a\0b.jpg", "ab.jpg"),
    "right to left": ("photo\u202egpj.exe".encode(), "photogpj.exe"),
    "an isolate": ("\u2066a\u2069\u200f\u061c.jpg".encode(), "a.jpg"),
    "Hebrew": ("תמונה.jpg".encode(), "תמונה.jpg"),
    "10,000 characters": (b"n" * 10_000 + b".jpg", "n" * 200),
    "10,000 marks on one letter": (b"a" + "\u0301".encode() * 5000, "a" + "\u0301" * 199),
    "HTML": (b"<img src=x onerror=alert(1)>.jpg", "<img src=x onerror=alert(1)>.jpg"),
    "a template": (b"{{7*7}}${7*7}.jpg", "{{7*7}}${7*7}.jpg"),
    "a line separator": ("a\u2028b\u2029c.jpg".encode(), "abc.jpg"),
    "nothing but what is invisible": ("\u200b\u200e\ufeff".encode(), "unnamed"),
    "spaces": (b"   ", "unnamed"),
    "a query": (b"a.jpg?x=1#y", "a.jpg?x=1#y"),
    "SQL": (b"a'; DROP TABLE images; --.jpg", "a'; DROP TABLE images; --.jpg"),
    "a formula": (b"=1+1.jpg", "=1+1.jpg"),
}


@pytest.mark.parametrize("case", NAMES)
def test_names_are_shown_and_never_used(server: Server, case: str) -> None:
    given, shown = NAMES[case]
    answer = talk(server, form(part(given)))
    assert statuses(answer) == [202], answer[:500]
    (image,) = json.loads(answer.split(b"\r\n\r\n", 1)[1])["images"]
    assert image["name"] == shown
    server.wait_until_settled()
    page = talk(server, get(b"/images/" + image["id"].encode())).decode()
    assert "<img src=x" not in page
    assert f"<bdi>{_escaped(shown)}</bdi>" in page
    top = server.data_dir.parent
    odd = [path.name for path in top.rglob("*") if not re.fullmatch(r"[a-z0-9.-]+", path.name)]
    assert odd == [], "a name of a client's became a name on the disk"
    assert {path.name for path in top.iterdir()} == {"data"}


def _escaped(text: str) -> str:
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("'", "&#39;"), ('"', "&#34;")):
        text = text.replace(character, entity)
    return text


def test_names_that_are_no_text(server: Server) -> None:
    for name in (b"a\xff\xfe.jpg", b"\xed\xa0\x80.jpg"):  # no UTF-8; half a surrogate pair
        answer = talk(server, form(part(name)))
        assert statuses(answer) == [400]
        assert b"not UTF-8" in answer
    for name in (b"%ED%A0%80.jpg", b"%FF.jpg", b"%00"):
        answer = talk(server, post(PHOTO, length(len(PHOTO)), target=b"/api/images?name=" + name))
        assert statuses(answer) == [202]
        told = json.loads(answer.split(b"\r\n\r\n", 1)[1])
        told["images"][0]["name"].encode("utf-8")


def test_the_log_is_one_line_for_each_and_shows_no_control_character(server: Server) -> None:
    server.upload(b"not an image", "a%0Aimpgool:%20forged%20line")
    talk(server, form(part(b"a.jpg\x1b[2J", b"no")))
    talk(server, get(b"/healthz", b"X: a\0\x1b[2Jb\r\n"))
    talk(server, get(b"/a\x1b[2Jb"))
    assert [line for line in server.log if not line.isprintable()] == []
    assert [line for line in server.log if line.startswith("impgool: forged")] == []


def test_a_proxy_that_nobody_named_changes_nothing(server: Server) -> None:
    lies = b"X-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.example\r\n"
    lies += b"X-Forwarded-Prefix: /evil\r\nSCRIPT_NAME: /evil\r\n"
    body = form(part(), end=b"--XxX--\r\n").split(b"\r\n\r\n", 1)[1]
    content_type = b"Content-Type: multipart/form-data; boundary=XxX\r\n"
    answer = talk(server, post(body, content_type, lies, length(len(body)), target=b"/upload"))
    assert b"Location: /status\r\n" in answer
    assert b"evil" not in talk(server, get(b"/status", lies))


def test_what_breaks_in_the_front_stage_does_not_end_the_server(tmp_path: Path) -> None:
    """A server below a path, asked for another one: gunicorn raises while it makes the request's environment."""
    with Server(tmp_path / "data", "--workers", "1", "--isolation", "thread", SCRIPT_NAME="/below") as below:
        process = below.gunicorn_process().pid
        for _ in range(3):
            assert statuses(talk(below, get(b"/healthz"))) == [500]
        assert statuses(talk(below, get(b"/below/healthz"))) == [200]
        assert below.gunicorn_process().pid == process

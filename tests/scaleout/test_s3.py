"""What files on S3 promise beyond `tests/contract/test_files.py`: against a real Swift, also one that is gone."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from imgpool.errors import SettingError
from imgpool.scaleout import bucket, endpoint
from imgpool.scaleout.bucket import Bucket
from imgpool.scaleout.s3 import S3Files
from imgpool.scaleout.scratch import Scratch
from servers.front import Front
from servers.swift import BUCKET, Swift
from serving import wait_for

ID = "0123456789abcdef" * 2
OTHER = "f" * 32


@pytest.fixture
def folder(swift: Swift) -> Bucket:
    return swift.folder()


@pytest.fixture
def files(folder: Bucket, tmp_path: Path) -> Iterator[S3Files]:
    with closing(S3Files(folder, tmp_path / "scratch", left_after_s=-2)) as files:
        yield files


def keys(folder: Bucket) -> list[str]:
    return [key for page in folder.pages("") for key, _ in page.objects]


def read(folder: Bucket, key: str, first: int = 0, last: int | None = None) -> bytes:
    with folder.read(key, first, last) as chunks:
        return b"".join(chunks)


def local(tmp_path: Path) -> list[Path]:
    """What lies in the scratch directory, apart from locks."""
    return [path for path in (tmp_path / "scratch").rglob("*") if path.is_file() and path.name != "lock"]


def test_a_second_host_cannot_overwrite_an_original(files: S3Files) -> None:
    first, second = files.new_original(ID), files.new_original(ID)
    first.write(b"first")
    second.write(b"second")
    first.commit()
    with pytest.raises(FileExistsError):
        second.commit()
    second.discard()
    with files.original(ID) as path:
        assert path.read_bytes() == b"first"


def test_a_put_whose_answer_was_lost_is_known_again(folder: Bucket, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    puts = []

    class Deaf(Bucket):
        """Loses the first answer to a put, as a network may; boto3 then asks again."""

        def _put(self, *given: object, **more: object) -> None:
            super()._put(*given, **more)  # type: ignore[arg-type]
            puts.append(given)
            if len(puts) == 1:
                self._put(*given, **more)

    deaf = Deaf(folder.url, folder.endpoint)
    deaf.put_new("originals/x", tmp_path / "file")
    assert len(puts) == 1, "the second was refused: the first had worked"
    assert read(folder, "originals/x") == b"mine"
    with pytest.raises(FileExistsError):
        deaf.put_new("originals/x", tmp_path / "file")


def parts_begun(folder: Bucket) -> list[str]:
    """The keys of uploads in parts that have not ended."""
    return [key for key, _, _ in folder._begun()]


@pytest.mark.parametrize("tls", [True, False], ids=["https", "http"])
def test_a_file_goes_in_one_go_and_is_hashed_only_where_nothing_else_guards_it(
    swift: Swift, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tls: bool
) -> None:
    data = os.urandom(300_000)
    (tmp_path / "file").write_bytes(data)
    with Front(int(swift.endpoint.rpartition(":")[2]), tmp_path if tls else None) as front:
        if tls:
            monkeypatch.setenv("AWS_CA_BUNDLE", str(front.certificate))
        with closing(Bucket(f"s3://{BUCKET}/front{tls}", f"http{'s' * tls}://127.0.0.1:{front.port}")) as folder:
            folder.put_new("file", tmp_path / "file")
            with pytest.raises(FileExistsError):
                folder.put_new("file", tmp_path / "file")
            assert read(folder, "file") == data
    headers = front.sent.partition(b"\r\n\r\n")[0].lower()
    hashed = b"unsigned-payload" if tls else hashlib.sha256(data).hexdigest().encode()
    assert b"x-amz-content-sha256: " + hashed in headers
    assert b"expect:" not in headers, "the file would wait for an answer to its headers"


def test_large_files_go_in_parts_and_leave_none_when_refused(files: S3Files, folder: Bucket) -> None:
    data = os.urandom(1024) * 1024 * 17
    assert len(data) > bucket.PART_BYTES
    for last in (b"1", b"2"):
        original = files.new_original(ID)
        original.write(data)
        original.write(last)
        with suppress(FileExistsError):
            original.commit()
        original.discard()
    with files.original(ID) as path:
        assert path.read_bytes() == data + b"1", "the first one, whole"
    assert not parts_begun(folder), "the parts of the second were given back"


def test_parts_of_a_dead_process_are_given_back(files: S3Files, folder: Bucket) -> None:
    folder._s3.client.create_multipart_upload(**folder._where("originals/x"))
    folder.abort_parts_before(timedelta(hours=1))
    assert parts_begun(folder) == ["originals/x"], "perhaps somebody is at it"
    files.sweep(lambda ids: set(ids))
    assert not parts_begun(folder)


def test_parts_that_another_host_gave_back_meanwhile_are_no_error(folder: Bucket) -> None:
    class Late(Bucket):
        """Is told of uploads that end before it can end them."""

        def _begun(self) -> list[tuple[str, str, float]]:
            begun = super()._begun()
            folder.abort_parts_before(timedelta(hours=-1))
            return begun

    for name in ("x", "y"):
        folder._s3.client.create_multipart_upload(**folder._where(f"originals/{name}"))
    with closing(Late(folder.url, folder.endpoint)) as late:
        late.abort_parts_before(timedelta(hours=-1))
    assert not parts_begun(folder)


class NotThere(BaseHTTPRequestHandler):
    """A store that says 404 when there is nothing to delete, as Google's does; Amazon's and Swift say 204."""

    def do_DELETE(self) -> None:
        told = b"<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>"
        self.send_response(404)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, *_: object) -> None:
        pass


def test_what_is_not_there_can_be_deleted(swift: Swift) -> None:
    server = HTTPServer(("127.0.0.1", 0), NotThere)
    thread = threading.Thread(target=server.handle_request)
    thread.start()
    try:
        with closing(Bucket(f"s3://{BUCKET}", f"http://127.0.0.1:{server.server_port}")) as folder:
            folder.delete("originals/x")
            assert folder.answers
    finally:
        thread.join(60)
        server.server_close()


def test_what_was_published_by_two_attempts_at_once_are_two_things(files: S3Files) -> None:
    wheres = []
    for attempt in (b"one", b"two"):
        staged = files.stage(ID)
        (staged / "thumb.jpg").write_bytes(attempt)
        wheres.append(files.publish(ID, staged))
        files.unstage(staged)
    one, two = (files.variant(ID, where + "thumb.jpg") for where in wheres)
    with one.read() as chunks:
        assert b"".join(chunks) == b"one"
    assert one.version != two.version
    files.withdraw(ID, wheres[0])
    with pytest.raises(FileNotFoundError), one.read():
        pass
    with two.read(1, 1) as chunks:
        assert b"".join(chunks) == b"w"


def test_a_sweep_of_a_piece_and_of_what_is_young(folder: Bucket, tmp_path: Path) -> None:
    with closing(S3Files(folder, tmp_path / "scratch", left_after_s=-2)) as files:
        for image_id in (ID, OTHER):
            original = files.new_original(image_id)
            original.write(b"x")
            original.commit()
        folder.put("originals/readme.txt", tmp_path / "scratch" / "lock")
        assert files.sweep(lambda _: set(), "a7") == 0
        with closing(S3Files(folder, tmp_path / "scratch")) as careful:
            assert careful.sweep(lambda _: set()) == 0, "another host may be about to record it"
        assert files.sweep(lambda _: set(), "ff") == 1
        assert keys(folder) == [f"originals/{ID}", "originals/readme.txt"]
        assert files.sweep(lambda _: set()) == 1
    assert keys(folder) == ["originals/readme.txt"], "not ours"


def test_nothing_is_left_on_the_local_disk(files: S3Files, tmp_path: Path) -> None:
    original = files.new_original(ID)
    original.write(b"bytes")
    original.commit()
    with files.original(ID) as path:
        assert path in local(tmp_path)
    with pytest.raises(FileNotFoundError), files.original(OTHER):
        pass
    assert local(tmp_path) == []
    files.close()
    assert [path.name for path in (tmp_path / "scratch").iterdir()] == ["lock"]


def test_a_killed_process_leaves_its_local_files_to_the_next(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from imgpool.scaleout.scratch import Scratch\n"
        "scratch = Scratch(Path(sys.argv[1])); scratch.file('half').write_bytes(b'half')\n"
        "print(scratch.path, flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        theirs = Path(process.stdout.readline().strip())
    mine = Scratch(tmp_path)
    assert len(list(theirs.iterdir())) == 2, "it lives"
    process.kill()
    process.wait(60)
    Scratch(tmp_path).close()
    assert not theirs.exists()
    assert mine.path.exists()
    mine.close()
    mine.close()


def test_one_that_is_closed_while_another_begins_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ending = Scratch(tmp_path)
    listed = Path.iterdir

    def then_closed(path: Path) -> Iterator[Path]:
        found = list(listed(path))
        ending.close()
        return iter(found)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "iterdir", then_closed)
        patch.setattr(Path, "is_dir", lambda path: path.name != "lock")  # looked at a moment before
        beginning = Scratch(tmp_path)
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == [beginning.path]
    beginning.close()


@pytest.fixture
def nobody_listens(swift: Swift) -> Iterator[Bucket]:
    with closing(Bucket(f"s3://{BUCKET}/x", "http://127.0.0.1:9")) as bucket:
        yield bucket


@pytest.mark.parametrize(
    "use",
    [
        lambda files, path: files.adopt(ID, path),
        lambda files, path: files.original(ID).__enter__(),
        lambda files, path: files.variant(ID, "t/thumb.jpg").read().__enter__(),
        lambda files, path: files.publish(ID, path.parent),
        lambda files, path: files.delete(ID),
        lambda files, path: files.sweep(set),
    ],
    ids=["adopt", "original", "read", "publish", "delete", "sweep"],
)
def test_a_store_that_is_away_is_an_os_error_soon(
    nobody_listens: Bucket, tmp_path: Path, use: Callable[[S3Files, Path], None]
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "file").write_bytes(b"x")
    with closing(S3Files(nobody_listens, tmp_path / "scratch")) as files:
        began = time.monotonic()
        with pytest.raises(OSError, match="S3: Could not"):
            use(files, tmp_path / "in" / "file")
        assert time.monotonic() - began < 5
    assert local(tmp_path) == []


@pytest.mark.parametrize("how", ["ended", "frozen"])
def test_an_outage_is_noticed_once_and_uploads_are_refused_before_their_bytes_until_it_is_over(
    swift: Swift, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    monkeypatch.setattr(endpoint, "ANSWER_S", 2.0)  # which a busy machine's Swift needs for an answer
    (tmp_path / "file").write_bytes(b"x")
    with closing(S3Files(swift.folder(), tmp_path / "scratch")) as files:
        files.adopt(ID, tmp_path / "file")
        (swift.kill if how == "ended" else swift.freeze)()
        try:
            with pytest.raises(OSError, match="S3: "):
                files.adopt(ID, tmp_path / "file")
            wait_for(lambda: "S3 is away" in caplog.text, "the notice")
            with pytest.raises(OSError, match="S3 does not answer"):
                files.free_bytes()
        finally:
            (swift.start if how == "ended" else swift.thaw)()
        wait_for(lambda: "S3 is back" in caplog.text, "the end of the outage")
        assert files.free_bytes() > 0
        files.adopt(ID, tmp_path / "file")
    told = [message.split(":")[0] for message in caplog.messages if message.startswith("S3 is")]
    assert told == ["S3 is away", "S3 is back"]


def test_one_that_cannot_look_whether_it_is_back_does_not_leave_it_away_for_ever(
    nobody_listens: Bucket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "gone")  # so that no further client can be made
    with pytest.raises(OSError, match="S3: "):
        nobody_listens.put_bytes("x", b"")
    wait_for(lambda: nobody_listens.answers, "the end of the one that looked")
    assert "nobody looks whether S3 is back" in caplog.text


def test_a_bucket_that_is_not_there_is_no_missing_image(swift: Swift, tmp_path: Path) -> None:
    with closing(S3Files(Bucket("s3://elsewhere", swift.endpoint), tmp_path / "scratch")) as files:
        with pytest.raises(OSError, match="NoSuchBucket") as raised, files.original(ID):
            pass
        assert not isinstance(raised.value, FileNotFoundError), "an image would be failed for it"


def test_what_cannot_work_is_said_in_a_line(swift: Swift, monkeypatch: pytest.MonkeyPatch) -> None:
    swift.folder().check()
    with pytest.raises(SettingError, match=r"--files: 's3://elsewhere' cannot be used: there is no such bucket"):
        Bucket("s3://elsewhere", swift.endpoint).check()
    with pytest.raises(SettingError, match="--files: 's3:///x' is not allowed"):
        Bucket("s3:///x")
    with pytest.raises(SettingError, match="--s3-endpoint: 'nonsense' is not allowed"):
        Bucket("s3://photos", "nonsense")
    with (
        pytest.raises(OSError, match="Could not connect") as raised,
        closing(Bucket(f"s3://{BUCKET}", "http://127.0.0.1:9")) as nobody_listens,
    ):
        nobody_listens.check()
    assert not isinstance(raised.value, SettingError)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(SettingError, match="these credentials may not use it"):
        swift.folder().check()
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(SettingError, match="there are no credentials; set AWS_ACCESS_KEY_ID"):
        swift.folder().check()

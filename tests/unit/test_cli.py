"""The command line, as people and their scripts use it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

import imgpool
from doubles import Watching, original, take
from imgpool.cli import main
from imgpool.config import FIELDS, Settings, option

HEAVY = ("flask", "PIL", "gunicorn", "werkzeug", "prometheus_client")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(each) for each in arguments])


def imgpool_process(*arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "imgpool", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **env},
    )


@pytest.mark.parametrize("command", [[], ["serve"], ["process"], ["prune"], ["lesson"], ["exercise"]])
def test_help_loads_nothing_heavy(command: list[str]) -> None:
    code = (
        "import sys\nfrom imgpool.cli import main\n"
        f"try:\n    main({[*command, '--help']!r})\n"
        f"finally:\n    print('LOADED', sorted(set(sys.modules) & set({HEAVY!r})))\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "Usage:" in told.stdout
    assert told.stdout.endswith("LOADED []\n")


def test_serve_has_an_option_for_every_setting() -> None:
    told = run("serve", "--help").output
    for field in FIELDS:
        assert f"  {option(field.name)} " in told, field.name
    assert "--config" in told
    assert "IMGPOOL_DRAIN_TIMEOUT_S" in told.replace("\n", "").replace(" ", "")


def test_the_version_is_told() -> None:
    assert run("--version").output == f"imgpool {imgpool.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--workers", "0"], "--workers: '0' is not allowed"),
        (["--port", "70000"], "--port: '70000' is not allowed"),
        (["--max-upload-bytes", "12 bananas"], "--max-upload-bytes: '12 bananas' is not allowed"),
        (["--token", "s3cret"], "--token: (not shown) is not allowed"),
        (["--recipe", "x=fit:1"], "--recipe: 'x=fit:1' is not allowed"),
        (["--config", "missing.toml"], "--config: 'missing.toml' cannot be read"),
        (["--data-dir", "/dev/null/data"], "--data-dir: '/dev/null/data' cannot be used"),
        (["--output-dir", "/dev/null/out"], "--output-dir: '/dev/null/out' cannot be used"),
    ],
)
def test_a_bad_setting_ends_serve_with_2_and_one_line(tmp_path: Path, arguments: list[str], said: str) -> None:
    told = imgpool_process("serve", *arguments, IMGPOOL_DATA_DIR=str(tmp_path / "data"))
    assert told.returncode == 2, told.stderr
    assert told.stdout == ""
    assert told.stderr.startswith(f"imgpool: {said}")
    assert len(told.stderr.splitlines()) == 1, told.stderr
    assert "s3cret" not in told.stderr


def test_a_bad_setting_of_the_environment_is_named_as_such(tmp_path: Path) -> None:
    told = imgpool_process("serve", IMGPOOL_PORT="http", IMGPOOL_DATA_DIR=str(tmp_path))
    assert told.returncode == 2
    assert told.stderr.startswith("imgpool: IMGPOOL_PORT: 'http' is not allowed")


def test_a_second_server_on_a_directory_is_refused_with_1_and_one_line(start: Callable[..., Watching]) -> None:
    service = start()
    told = imgpool_process("serve", "--port", "0", "--data-dir", service.settings.data_dir)
    assert told.returncode == 1, told.stderr
    assert told.stderr.startswith(f"imgpool: another imgpool (process {os.getpid()}) uses the data directory")
    assert len(told.stderr.splitlines()) == 1, told.stderr


def written(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def test_process_makes_the_variants(tmp_path: Path, images: dict[str, bytes]) -> None:
    folder = written(tmp_path / "in", {"turned.jpg": images["turned"], "clear.png": images["png"]})
    told = run("process", folder, "-o", tmp_path / "out", "--workers", "1", "--recipe", "small=fit:64x64")
    assert told.exit_code == 0, told.output
    assert told.stdout == f"2 done, 0 failed, in {tmp_path / 'out'}\n"
    with Image.open(tmp_path / "out" / "turned.jpg" / "small.jpg") as opened:
        assert opened.size == (48, 64)
    with Image.open(tmp_path / "out" / "clear.png" / "small.webp") as opened:
        assert (opened.size, opened.mode) == ((64, 48), "RGBA")


def test_process_names_what_failed_and_why(tmp_path: Path, images: dict[str, bytes]) -> None:
    folder = written(
        tmp_path / "in",
        {name: images[kind] for name, kind in (("good.jpg", "jpeg"), ("cut.jpg", "truncated"), ("fake.png", "text"))},
    )
    told = run("process", folder, "-o", tmp_path / "out", "--isolation", "thread")
    assert told.exit_code == 1
    lines = sorted(told.stderr.splitlines())
    assert len(lines) == 2
    assert lines[0].startswith(f"{folder / 'cut.jpg'}: ")
    assert lines[1].startswith(f"{folder / 'fake.png'}: ")
    assert all(len(line) > len(str(folder / "cut.jpg: ")) + 10 for line in lines)
    assert told.stdout == f"1 done, 2 failed, in {tmp_path / 'out'}\n"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["good.jpg"]


def test_process_keeps_same_names_apart(tmp_path: Path, images: dict[str, bytes]) -> None:
    folders = [written(tmp_path / name, {"a.jpg": images[kind]}) for name, kind in (("1", "jpeg"), ("2", "turned"))]
    told = run("process", *folders, "-o", tmp_path / "out", "--isolation", "thread")
    assert told.exit_code == 0
    sizes = set()
    for name in ("a.jpg", "a.jpg-2"):
        with Image.open(tmp_path / "out" / name / "large.jpg") as opened:
            sizes.add(opened.size)
    assert sizes == {(320, 240), (240, 320)}


def test_process_with_nothing_to_do_or_a_bad_setting(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    told = run("process", tmp_path / "empty", "-o", tmp_path / "out")
    assert (told.exit_code, told.stderr) == (1, "imgpool: no images found\n")
    for bad in (["--workers", "0"], ["--recipe", "no"]):
        told = run("process", tmp_path / "empty", "-o", tmp_path / "out", *bad)
        assert told.exit_code == 2
        assert told.stderr.startswith(f"imgpool: {bad[0]}: ")
    told = run("process", tmp_path / "missing", "-o", tmp_path / "out")
    assert (told.exit_code, told.stderr) == (
        1,
        f"{tmp_path / 'missing'}: No such file or directory: {tmp_path / 'missing'}\n",
    )


@pytest.mark.parametrize("age", ["", "30", "d", "-1d", "1w", "1.5d", "9" * 400 + "d"])
def test_prune_refuses_a_bad_age(tmp_path: Path, age: str) -> None:
    told = run("prune", "--older-than", age, "--data-dir", tmp_path)
    assert told.exit_code == 2, told.output
    assert told.stderr.startswith("imgpool: --older-than: ")
    assert len(told.stderr.splitlines()) == 1


def test_prune_refuses_a_directory_that_is_none_of_ours(tmp_path: Path) -> None:
    told = run("prune", "--older-than", "1d", "--data-dir", tmp_path)
    assert told.exit_code == 2
    assert "it holds no imgpool.db" in told.stderr
    assert list(tmp_path.iterdir()) == []


def test_prune_names_a_directory_that_cannot_be_used(start: Callable[..., Watching]) -> None:
    service = start()
    service.stop()
    told = run("prune", "--older-than", "1d", "--data-dir", service.settings.data_dir, "--output-dir", "/dev/null/out")
    assert told.exit_code == 2
    assert told.stderr.startswith("imgpool: --output-dir: '/dev/null/out' cannot be used")


def test_prune_removes_only_what_is_old_and_only_without_a_server(
    start: Callable[..., Watching], settings: Callable[..., Settings], images: dict[str, bytes]
) -> None:
    service = start()
    old, new = (take(service, images["jpeg"]).id for _ in range(2))
    service.settled()
    data_dir = settings().data_dir
    told = run("prune", "--older-than", "0s", "--data-dir", data_dir)
    assert told.exit_code == 1
    assert told.stderr.startswith(f"imgpool: another imgpool (process {os.getpid()})")
    service.watched._db.execute("UPDATE images SET finished_at = finished_at - 7200 WHERE id = ?", (old,))
    service.stop()
    told = run("prune", "--older-than", "90m", "--data-dir", data_dir)
    assert (told.exit_code, told.stdout) == (0, "1 images deleted\n")
    again = start()
    assert [record.id for record in again.page(None, 9, None)] == [new]
    assert not original(again, old).exists()
    assert again.files.variant(new, "thumb.jpg").exists()
    again.stop()
    assert run("prune", "--older-than", "0s", "--data-dir", data_dir).stdout == "1 images deleted\n"

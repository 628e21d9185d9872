"""Settings: where they come from, and what becomes of those that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from imgpool.config import FIELDS, GIB, KIB, MIB, Settings, http_threads_for, load, option, variable
from imgpool.errors import SettingError


def test_the_defaults_pass_their_own_checks() -> None:
    assert load({}, {}) == Settings()
    for field in FIELDS:
        if field.default not in (None, ()):
            assert (
                field.metadata["parse"](
                    "auto" if field.default == 0 and "auto" in field.metadata["shown"] else str(field.default)
                )
                == field.default
            )


def test_networks_of_trusted_proxies() -> None:
    assert load({"trusted_proxies": "none"}, {}).trusted_proxies == ()
    told = load({"trusted_proxies": "127.0.0.1, 10.0.0.0/8,2001:db8::/32"}, {}).trusted_proxies
    assert [str(each) for each in told] == ["127.0.0.1/32", "10.0.0.0/8", "2001:db8::/32"]


def test_every_setting_says_what_it_is_for() -> None:
    for field in FIELDS:
        assert field.metadata["help"], field.name
        assert field.metadata["shown"], field.name


def test_the_command_line_wins_over_the_environment_over_the_file_over_the_default(tmp_path: Path) -> None:
    file = tmp_path / "imgpool.toml"
    file.write_text("port = 1\nworkers = 1\nqueue_capacity = 1\n")
    env = {"IMGPOOL_PORT": "2", "IMGPOOL_WORKERS": "2"}
    loaded = load({"port": "3", "config": str(file), "host": None}, env)
    assert (loaded.port, loaded.workers, loaded.queue_capacity, loaded.max_files) == (3, 2, 1, 1000)
    assert loaded.host == "127.0.0.1", "None means not given"


def test_the_file_may_be_named_by_the_environment(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"{number}.toml").write_text(f"port = {number}\n")
    env = {"IMGPOOL_CONFIG": str(tmp_path / "1.toml")}
    assert load({}, env).port == 1
    assert load({"config": str(tmp_path / "2.toml")}, env).port == 2


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGPOOL_DRAIN_TIMEOUT_S", "3.5")
    assert load().drain_timeout_s == 3.5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", 1),
        ("67108864", 64 * MIB),
        ("64MiB", 64 * MIB),
        ("64 mib", 64 * MIB),
        ("64m", 64 * MIB),
        (" 7K ", 7 * KIB),
        ("7kib", 7 * KIB),
        ("2g", 2 * GIB),
        ("2GiB", 2 * GIB),
    ],
)
def test_bytes_may_have_a_suffix(text: str, expected: int) -> None:
    assert load({"max_upload_bytes": text}, {}).max_upload_bytes == expected


@pytest.mark.parametrize("name", ["workers", "http_threads"])
def test_auto_means_that_the_program_chooses(name: str) -> None:
    assert getattr(load({name: "AUTO"}, {}), name) == 0


LONG = "1" * 5000

BAD = [
    ("host", "  ", "not empty"),
    ("port", "70000", "from 0 to 65535"),
    ("port", "-1", "from 0 to 65535"),
    ("port", "http", "from 0 to 65535"),
    ("port", LONG, "from 0 to 65535"),
    ("data_dir", "", "not empty"),
    ("data_dir", "a\0b", "without"),
    ("output_dir", " ", "not empty"),
    ("workers", "0", "auto or a whole number from 1 to 256"),
    ("workers", "257", "auto or a whole number from 1 to 256"),
    ("workers", "two", "auto or a whole number from 1 to 256"),
    ("workers", "2.5", "auto or a whole number from 1 to 256"),
    ("queue_capacity", "0", "from 1 to 100000"),
    ("isolation", "fiber", "process or thread"),
    ("isolation", "PROCESS", "process or thread"),
    ("http_threads", "3", "auto or a whole number from 4 to 4096"),
    ("max_upload_bytes", "12 bananas", "64MiB"),
    ("max_upload_bytes", "0", "at least 1"),
    ("max_upload_bytes", "-5", "bytes"),
    ("max_upload_bytes", "1.5GiB", "64MiB"),
    ("max_upload_bytes", "999999999GiB", "at most"),
    ("max_upload_bytes", LONG, "64MiB"),
    ("max_request_bytes", "", "bytes"),
    ("max_files", "0", "from 1 to 100000"),
    ("max_pixels", "0", "from 1 to"),
    ("recipe", "", "not empty"),
    ("job_timeout_s", "0", "seconds from 0.1 to 86400"),
    ("job_timeout_s", "nan", "seconds from 0.1 to 86400"),
    ("job_timeout_s", "inf", "seconds from 0.1 to 86400"),
    ("job_timeout_s", "soon", "seconds from 0.1 to 86400"),
    ("job_memory_bytes", "1MiB", "at least 67108864"),
    ("decode_memory_bytes", "1MiB", "auto or at least 67108864"),
    ("max_attempts", "0", "from 1 to 100"),
    ("min_upload_bytes_per_s", "1KiB", "a whole number"),
    ("read_timeout_s", "0", "seconds from 0.1 to 3600"),
    ("max_uploads_per_client", "-1", "from 0 to 100000"),
    ("trusted_proxies", "nginx", "none, or addresses and networks"),
    ("trusted_proxies", "10.0.0.1/8", "none, or addresses and networks"),
    ("trusted_proxies", "", "none, or addresses and networks"),
    ("disk_floor_bytes", "half", "bytes"),
    ("unfinished_slot_s", "0", "seconds from 0.1 to 3600"),
    ("unfinished_expire_s", "0.5", "seconds from 1 to"),
    ("max_unfinished_uploads", "0", "from 1 to 1000000"),
    ("max_unfinished_bytes", "0", "at least 1"),
    ("retention_days", "forever", "days from 0 to 36500"),
    ("retention_days", "-1", "days from 0 to 36500"),
    ("drain_timeout_s", "-1", "seconds from 0 to 86400"),
    ("token", "short", "at least 8"),
    ("token", "white space in it", "without spaces"),
    ("upload_token", "short", "at least 8"),
    ("anonymous_uploads", "maybe", "yes or no"),
    ("open_to_everybody", "", "yes or no"),
    ("allowed_hosts", "", "separated by commas"),
    ("allowed_hosts", "http://a.example", "separated by commas"),
    ("allowed_hosts", "a.example:8000", "separated by commas"),
    ("allowed_hosts", "a.example,,b.example", "separated by commas"),
    ("allowed_hosts", "*.example", "separated by commas"),
    ("broker", "redis", "a URL as redis://"),
    ("broker", "http://user:pass@host", "a URL as redis://"),
    ("database", "mysql://user:pass@host/d", "a URL as postgresql://"),
    ("database", "postgresql://host:port", "a URL as postgresql://"),
    ("files", "bucket", "a URL as s3://BUCKET/PREFIX"),
    ("files", "s3://", "a URL as s3://BUCKET/PREFIX"),
    ("s3_endpoint", "localhost:9000", "a URL as https://"),
    ("variant_delivery", "post", "app or redirect"),
    ("lease_s", "1", "seconds from 2 to 3600"),
]
SECRET = {"token", "upload_token", "broker", "database"}


def one_line(error: pytest.ExceptionInfo[SettingError]) -> str:
    line = str(error.value)
    assert line.isprintable(), line
    return line


@pytest.mark.parametrize(("name", "text", "allowed"), BAD, ids=[f"{name}={text[:12]!r}" for name, text, _ in BAD])
def test_a_bad_value_is_refused_in_one_line_with_what_is_allowed(name: str, text: str, allowed: str) -> None:
    for given, source in (({name: text}, option(name)), ({}, variable(name))):
        with pytest.raises(SettingError) as error:
            load(given, {} if given else {variable(name): text})
        line = one_line(error)
        assert line.startswith(f"{source}: "), line
        assert allowed in line
        assert (repr(text)[:80] in line) == (name not in SECRET), line


def test_every_setting_has_a_bad_value_in_the_table() -> None:
    assert {name for name, _, _ in BAD} == {field.name for field in FIELDS}


def test_switches_and_names() -> None:
    env = {"IMGPOOL_TOKEN": "long-enough", "IMGPOOL_ANONYMOUS_UPLOADS": "Yes"}
    loaded = load({"allowed_hosts": "A.example, .b.example"}, env)
    assert loaded.anonymous_uploads is True
    assert loaded.allowed_hosts == ("a.example", ".b.example")
    assert load({"allowed_hosts": "*"}, {}).allowed_hosts == ("*",)
    assert load({"anonymous_uploads": "no"}, env).anonymous_uploads is False


def test_several_hosts_share_a_broker_a_database_and_files() -> None:
    loaded = load({"broker": "amqps://u:p@host//", "database": "postgresql:///d", "files": "file:///srv/imgpool"}, {})
    assert loaded.scaled_out
    assert not Settings().scaled_out


@pytest.mark.parametrize(("written", "expected"), [("true", True), ("false", False), ('"yes"', True), ('"no"', False)])
def test_a_switch_in_a_file_is_true_or_false(tmp_path: Path, written: str, expected: bool) -> None:
    file = tmp_path / "imgpool.toml"
    file.write_text(f"open_to_everybody = {written}")
    assert load({"config": str(file)}, {}).open_to_everybody is expected


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"upload_token": "long-enough"}, "--upload-token"),
        ({"anonymous_uploads": "yes"}, "--anonymous-uploads"),
        ({"token": "long-enough", "upload_token": "long-enough"}, "the same as --token"),
        ({"broker": "redis://:long-enough@host"}, "without --database and --files"),
        (
            {"broker": "redis://:long-enough@host", "database": "postgresql://host/d"},
            "--broker: not allowed without --files",
        ),
        ({"files": "s3://bucket"}, "--files: not allowed without --broker and --database"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(given: dict[str, str], said: str) -> None:
    with pytest.raises(SettingError, match=said) as error:
        load(given, {})
    assert "long-enough" not in one_line(error)


@pytest.mark.parametrize(
    "written",
    [
        'token = "short"',
        'upload_token = "short"',
        "upload_token = ['a-secret']",
        "token = ['a-secret']",
        "token = true",
        'broker = "kafka://:a-secret@host"',
        "database = ['a-secret']",
        'token = {a = "a-secret"}',
        'token = "a-sec',
    ],
)
def test_a_token_is_never_shown(tmp_path: Path, written: str) -> None:
    file = tmp_path / "imgpool.toml"
    file.write_text(written)
    with pytest.raises(SettingError) as error:
        load({"config": str(file)}, {})
    assert "a-sec" not in one_line(error)
    assert "short" not in one_line(error)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("colour = 1", "'colour' is not a setting"),
        ("[serve]\nport = 1", "'serve' is not a setting"),
        ("port = true", "text or a number"),
        ("open_to_everybody = 1", "true or false"),
        ('open_to_everybody = "maybe"', "yes or no"),
        ("port = [1]", "text or a number"),
        ("port = 8000.5", "from 0 to 65535"),
        ('port = "a\\nb"', "from 0 to 65535"),
        ("port", "is not TOML"),
        ("port = 1\nport = 2", "is not TOML"),
        ("port = 2026-01-01", "text or a number"),
    ],
)
def test_a_bad_file_is_refused_in_one_line_that_names_it(tmp_path: Path, written: str, said: str) -> None:
    file = tmp_path / "imgpool.toml"
    file.write_text(written)
    with pytest.raises(SettingError) as error:
        load({"config": str(file)}, {})
    assert said in one_line(error)
    assert str(file) in one_line(error)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    for path, said in (("missing.toml", "No such file"), ("", "directory"), ("binary.toml", "is not TOML")):
        with pytest.raises(SettingError) as error:
            load({"config": str(tmp_path / path)}, {})
        assert said in one_line(error)


def test_the_file_may_hold_numbers_and_texts(tmp_path: Path) -> None:
    file = tmp_path / "imgpool.toml"
    file.write_text(
        'port = 1\nmax_upload_bytes = "1 MiB"\njob_timeout_s = 1.5\nworkers = "auto"\ntoken = "secret-enough"'
    )
    loaded = load({"config": str(file)}, {})
    assert (loaded.port, loaded.max_upload_bytes, loaded.job_timeout_s, loaded.workers) == (1, MIB, 1.5, 0)
    assert loaded.token == "secret-enough"


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(SettingError, match="colour"):
        load({"colour": "red"}, {})


def test_the_output_directory_is_in_the_data_directory_unless_it_is_set() -> None:
    assert load({"data_dir": "d"}, {}).output == Path("d/output")
    assert load({"data_dir": "d", "output_dir": "o"}, {}).output == Path("o")


def test_names_of_options_and_variables() -> None:
    assert option("drain_timeout_s") == "--drain-timeout-s"
    assert variable("drain_timeout_s") == "IMGPOOL_DRAIN_TIMEOUT_S"


@pytest.mark.parametrize(("places", "threads"), [(1, 33), (64, 96), (512, 544), (513, 544), (100_000, 544)])
def test_threads_follow_the_queue_up_to_a_bound(places: int, threads: int) -> None:
    assert http_threads_for(places) == threads
    assert str(http_threads_for(100_000)) in str(next(f for f in FIELDS if f.name == "http_threads").metadata["shown"])

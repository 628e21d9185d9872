"""What people are told is what there is: settings, routes, metrics, commands, links."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from imgpool.cli import main
from imgpool.config import FIELDS, Settings, option
from imgpool.service import Service
from imgpool.web import create_app
from imgpool.web.metrics import COUNTERS, GAUGES

TOP = Path(__file__).parent.parent.parent
LOAD_COMMANDS = ("load", "compare", "bench")
README = (TOP / "README.md").read_text()
PLACEHOLDERS = {"image_id": "ID", "upload_id": "ID", "variant": "VARIANT", "name": "NAME", "run_id": "RUN_ID"}


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_every_setting_is_in_the_readme_as_it_is(field: object) -> None:
    row = f"| `{option(field.name)}` | {field.metadata['shown']} | {field.metadata['help']} |"  # type: ignore[attr-defined]
    assert row in README


def test_every_route_is_in_the_readme(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    for rule in create_app(settings, Service(settings)).url_map.iter_rules():
        if rule.endpoint == "static":
            continue
        path = re.sub(r"<(\w+)>", lambda name: PLACEHOLDERS[name[1]], rule.rule)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            assert re.search(rf"`(\w+, )*{method}(, \w+)* {re.escape(path)}`", README), f"{method} {path}"


def test_every_metric_is_in_the_readme_as_it_is() -> None:
    for name, text in COUNTERS.items():
        assert f"| `{name}_total` | counter | {text} |" in README
    for name, text in GAUGES.items():
        assert f"| `{name}` | gauge | {text} |" in README


def test_every_command_is_in_the_readme() -> None:
    for name in main.commands:
        assert f"| `imgpool {name}" in README


def test_the_readme_names_nothing_that_is_not_there() -> None:
    options = set(re.findall(r"`(--[a-z0-9-]+)", README))
    allowed = {option(field.name) for field in FIELDS} | {"--config"}
    assert options <= allowed, options - allowed
    assert set(re.findall(r"`imgpool ([a-z]+)", README)) == set(main.commands)


@pytest.mark.parametrize(
    "document",
    [
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "sample_images/README.md",
        "docs/load-testing.md",
        "docs/benchmarks.md",
    ],
)
def test_links_and_pictures_lead_somewhere(document: str) -> None:
    text = (TOP / document).read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if not target.startswith(("http://", "https://")):
            assert ((TOP / document).parent / target).exists(), target
    for sample in re.findall(r"@(sample_images/\S+)", text):
        assert (TOP / sample).exists(), sample


def test_the_two_commands_are_one_line_each() -> None:
    commands = re.findall(r"```sh\n(python3 -m venv[^\n]*)\n```", README)
    assert len(commands) == 2
    assert commands[0].endswith("imgpool serve")
    assert commands[1].endswith("pytest -m alone")
    assert "pytest -n 2 --dist loadfile --no-loadscope-reorder -m 'not alone' &&" in commands[1]


def test_every_option_of_a_load_test_is_in_its_document() -> None:
    text = (TOP / "docs/load-testing.md").read_text()
    for name in LOAD_COMMANDS:
        for parameter in main.commands[name].params:
            for flag in parameter.opts:
                assert not flag.startswith("--") or f"`{flag}" in text, f"{name} {flag}"


def test_the_map_of_the_code_names_modules_that_are_there() -> None:
    """A module by its room or beside the one that is named first; `_book` is short for that one's name with it."""
    rows = re.findall(r"^\| [^|]+ \| (`\w+/[^|]+) \| (.+) \|$", (TOP / "CONTRIBUTING.md").read_text(), re.M)
    assert len(rows) == 7
    for first, parts in rows:
        beside = (TOP / "imgpool" / re.findall(r"`([^`]+)`", first)[0]).parent
        whole = ""
        for name in re.findall(r"`([^`]+)`", f"{first} {parts}"):
            whole = whole if name.startswith("_") else name
            path = beside / f"{whole}{name}.py" if name.startswith("_") else beside / f"{name}.py"
            assert path.exists() or (TOP / "imgpool" / name).exists(), name

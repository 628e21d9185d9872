"""What `docs/deploy` offers: held to the tools and schemas that it is written for, and to imgpool's own settings."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from imgpool.config import FIELDS, Settings, load, option

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "docs" / "deploy"
KUBERNETES = "1.34"
UNITS = sorted(DEPLOY.glob("*.service"))
NGINX = "/usr/sbin/nginx"
DEFAULT = re.compile(r"\$\{\w+:[?-](.*?)\}")  # what compose takes, or says, when a variable is not set


def manifests() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))


def composed() -> dict[str, Any]:
    """Anchors and merges resolved, variables not."""
    services: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    return services


def environment_file() -> dict[str, str]:
    lines = (DEPLOY / "imgpool.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_every_file_is_explained() -> None:
    text = (ROOT / "docs" / "scaleout.md").read_text()
    assert {path.name for path in DEPLOY.iterdir()} == set(re.findall(r"\(deploy/([^)]+)\)", text))


@pytest.mark.parametrize(
    "manifest", manifests(), ids=lambda manifest: f"{manifest['kind']}-{manifest['metadata']['name']}"
)
def test_kubernetes_knows_every_field(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


def test_kubernetes_finds_what_the_manifests_name() -> None:
    pods = {each["metadata"]["name"]: each["spec"]["template"] for each in manifests() if each["kind"] == "Deployment"}
    labels = [pod["metadata"]["labels"] for pod in pods.values()]
    ports = {port["name"] for pod in pods.values() for each in containers(pod) for port in each.get("ports", ())}
    secrets = {each["metadata"]["name"] for each in manifests() if each["kind"] == "Secret"}
    for each in manifests():
        spec = each.get("spec", {})
        if each["kind"] == "Service":
            assert spec["selector"] in labels
            assert {port["targetPort"] for port in spec["ports"]} <= ports
        if each["kind"] in ("Deployment", "PodDisruptionBudget"):
            assert spec["selector"]["matchLabels"] in labels
        if each["kind"] == "HorizontalPodAutoscaler":
            assert spec["scaleTargetRef"]["name"] in pods
    for pod in pods.values():
        for each in containers(pod):
            assert {source["secretRef"]["name"] for source in each["envFrom"]} <= secrets
            mounted = {mount["name"] for mount in each["volumeMounts"]}
            assert mounted == {volume["name"] for volume in pod["spec"]["volumes"]}
            for probe in ("readinessProbe", "livenessProbe"):
                assert each.get(probe, {}).get("httpGet", {}).get("path", "/healthz") == "/healthz"


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pod["spec"]["containers"]
    return found


def test_compose_reads_it() -> None:
    if shutil.which("docker-compose") is None:
        pytest.skip("docker-compose is not installed (Debian's package: docker-compose)")
    command = ["docker-compose", "-f", str(DEPLOY / "compose.yaml"), "config", "--quiet"]
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    good = subprocess.run(command, env={**env, "IMGPOOL_TOKEN": "x"}, capture_output=True, text=True, timeout=60)
    assert good.returncode == 0, good.stderr
    bad = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert bad.returncode != 0
    assert "choose a long random one" in bad.stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_reads_it(unit: Path, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed (Debian's package: systemd)")
    here = tmp_path / unit.name  # which program is there is not the unit's fault
    here.write_text(unit.read_text().replace("/opt/imgpool/bin/imgpool", str(Path(sys.executable).parent / "imgpool")))
    done = subprocess.run([analyze, "verify", str(here)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_image_is_made_of_what_the_wheel_is() -> None:
    """Docker itself is not there to say so: the wheel needs these, and nothing else of a checkout."""
    copied = re.findall(r"^COPY (.*) /src/\S*$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    sources = {source for line in copied for source in line.split()}
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())
    built = wheel["tool"]["hatch"]["build"]["targets"]["wheel"]
    project = wheel["project"]
    assert sources == {
        "pyproject.toml",
        project["readme"],
        *project["license-files"],
        *built["packages"],
        *(path.split("/")[0] for path in built["force-include"]),
    }


def test_nginx_reads_it(tmp_path: Path) -> None:
    if not Path(NGINX).exists():
        pytest.skip("nginx is not installed")
    (tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path}/pid; error_log {tmp_path}/error.log;\nevents {{}}\nhttp {{\n access_log off;\n"
        + "".join(f" {name}_temp_path {tmp_path}/{name};\n" for name in ("fastcgi", "uwsgi", "scgi", "proxy"))
        + f" client_body_temp_path {tmp_path}/body;\n include {DEPLOY}/nginx.conf;\n}}\n"
    )
    command = [NGINX, "-t", "-e", str(tmp_path / "error.log"), "-p", str(tmp_path), "-c", "nginx.conf"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def environments() -> dict[str, dict[str, str]]:
    secret = next(each for each in manifests() if each["kind"] == "Secret")["stringData"]
    return {
        "imgpool.env": environment_file(),
        "kubernetes.yaml": secret,
        **{f"compose.yaml {name}": composed()[name]["environment"] for name in ("web", "worker")},
    }


@pytest.mark.parametrize("name", environments())
def test_the_settings_are_imgpools(name: str) -> None:
    given = {
        key: DEFAULT.sub(lambda found: found[1].replace(" ", "-"), value) for key, value in environments()[name].items()
    }
    known = {f"IMGPOOL_{field.name.upper()}" for field in FIELDS}
    assert {key for key in given if key.startswith("IMGPOOL_")} <= known
    settings = load({}, given)
    assert settings.scaled_out
    assert settings.token or name == "compose.yaml worker"


def commands() -> dict[str, list[str]]:
    found = {
        unit.name: shlex.split(re.findall(r"^ExecStart=(.*)$", unit.read_text(), re.MULTILINE)[0]) for unit in UNITS
    }
    for each in manifests():
        if each["kind"] == "Deployment":
            for container in containers(each["spec"]["template"]):
                found[f"kubernetes {container['name']}"] = container.get("args", ["imgpool", "serve"])
    return found


@pytest.mark.parametrize("name", commands())
def test_the_options_are_imgpools(name: str) -> None:
    program, command, *options = commands()[name]
    assert Path(program).name == "imgpool"
    assert command == ("worker" if "worker" in name else "serve")
    known = {option(field.name) for field in FIELDS}
    assert {each for each in options if each.startswith("--")} <= known


def test_there_is_time_to_stop() -> None:
    default = Settings()
    needed = {"web": default.drain_timeout_s, "worker": default.job_timeout_s}
    given: dict[str, list[float]] = {"web": [], "worker": []}
    for role, times in given.items():
        unit = (DEPLOY / f"imgpool-{role}.service").read_text()
        times.append(float(re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)[0]))
        times.append(float(composed()[role]["stop_grace_period"].removesuffix("s")))
        for each in manifests():
            if each["metadata"]["name"] == f"imgpool-{role}" and each["kind"] == "Deployment":
                times.append(float(each["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]))
        assert len(times) == 3
        assert min(times) >= needed[role] + 10

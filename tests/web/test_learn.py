"""The learn page and the lab's routes, through Flask's client."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import imgpool.web
from imgpool.learn.catalogue import EXERCISES
from imgpool.learn.lab.experiment import Experiment
from imgpool.learn.lab.line import MOST_WAITING, Lab
from imgpool.pool import Context
from serving import wait_for
from webclient import Web

Make = Callable[..., Web]
WAIT_S = 120.0
OPENAPI = Path(imgpool.web.__file__).parent / "openapi.json"
TOKEN = {"Authorization": "Bearer correct-horse"}

# What the lesson says, in the essay's order.
IDEAS = (
    *("why", "worker", "complete", "how", "images", "number", "buffers", "mistakes", "exercises"),
    *("policies", "overload", "next", "mine"),
)


def lab_of(site: Web) -> Lab:
    lab: Lab = site.client.application.extensions["imgpool.lab"]
    return lab


def settled(site: Web, run: dict[str, Any]) -> dict[str, Any]:
    """Wait until a run has ended; the lab's thread ends with its line."""
    wait_for(lambda: site.client.get(run["url"]).json["state"] in ("done", "failed"), "the run", WAIT_S)
    ended: dict[str, Any] = site.client.get(run["url"]).json
    return ended


def test_the_essay_has_every_idea_in_order_with_its_program(web: Make) -> None:
    answer = web().client.get("/learn")
    assert answer.status_code == 200
    page = answer.text
    assert tuple(re.findall(r'<section class="idea" id="(\w+)"', page)) == IDEAS
    assert tuple(re.findall(r'<li><a href="#(\w+)">', page)) == IDEAS
    for file in ("01_worker_function.py", "02_complete_pool.py", "04_image_queue.py", "by_hand.py", "no_pool.py"):
        assert f"<code>{file}</code>" in page
    for exercise in EXERCISES:
        assert f"{exercise.title} ({exercise.number})" in page
    assert not re.search(r"\sstyle=|<style|<script(?! type=\"module\" src)|\son\w+=", page), "nothing inline"
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', page), "nothing from elsewhere"


def test_the_description_has_the_bounds_that_are_checked() -> None:
    described = json.loads(OPENAPI.read_text())["components"]["schemas"]["Experiment"]["properties"]
    assert list(described) == [each.name for each in fields(Experiment)]
    for each in fields(Experiment):
        told = described[each.name]
        assert told["default"] == each.default
        if "allowed" in each.metadata and told["type"] == "string":
            assert told["enum"] == list(each.metadata["allowed"])
        elif "least" in each.metadata:
            assert (told["minimum"], told["maximum"]) == (each.metadata["least"], each.metadata["most"])


@pytest.mark.alone  # a run gives way to everything else
def test_a_run_is_asked_for_and_looked_at(web: Make) -> None:
    site = web()
    answer = site.client.post("/api/lab/runs", json={"program": "by_hand", "jobs": 3, "length_ms": 1})
    assert answer.status_code == 202
    ended = settled(site, answer.json)
    assert ended["state"] == "done"
    assert sorted(ended["result"]["figures"]["results"]) == ["2", "4", "6"]
    assert ended["result"]["experiment"]["workers"] == 3


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/api/lab/runs", '{"workers": 99}', 400, "workers is 99; allowed is a whole number 1 to 8."),
        ("/api/lab/runs", "[1]", 400, "no object"),
        ("/api/lab/runs", "{", 400, ""),
        ("/api/lab/runs", '{"' + "x" * 20_000 + '": 1}', 413, ""),
        ("/api/lab/floods", '{"arrivals_ms": "many"}', 400, "a list of 1 to 300 moments"),
    ],
)
def test_what_the_lab_does_not_take(web: Make, path: str, body: str, status: int, said: str) -> None:
    answer = web().client.post(path, data=body, content_type="application/json")
    assert answer.status_code == status
    assert answer.content_type == "application/problem+json"
    assert said in answer.json["detail"]


def test_only_json_from_our_own_pages(web: Make) -> None:
    site = web()
    assert site.client.post("/api/lab/runs", data="{}", content_type="text/plain").status_code == 415
    elsewhere = {"Sec-Fetch-Site": "cross-site"}
    for path in ("/api/lab/runs", "/api/lab/floods"):
        assert site.client.post(path, json={}, headers=elsewhere).status_code == 403
    assert site.client.get("/api/lab/runs/unknown").status_code == 404


@pytest.mark.alone
def test_with_a_token_the_lab_is_for_those_who_have_it(web: Make) -> None:
    site = web(token="correct-horse")
    assert site.client.get("/learn").status_code == 303
    assert site.client.post("/api/lab/runs", json={}).status_code == 401
    assert site.client.get("/learn", headers=TOKEN).status_code == 200
    answer = site.client.post("/api/lab/runs", json={"jobs": 1, "length_ms": 0}, headers=TOKEN)
    assert answer.status_code == 202
    wait_for(lambda: site.client.get(answer.json["url"], headers=TOKEN).json["state"] == "done", "the run", WAIT_S)


def test_a_full_line_is_told_and_the_page_still_answers(web: Make) -> None:
    site = web()
    entered, gate = threading.Event(), threading.Event()

    def hold(ctx: Context) -> dict[str, Any]:
        entered.set()
        assert gate.wait(WAIT_S)
        return {}

    lab = lab_of(site)
    lab.ask(hold)
    assert entered.wait(WAIT_S)
    places = [lab.ask(hold).place for _ in range(MOST_WAITING)]
    assert places == list(range(1, MOST_WAITING + 1))
    answer = site.client.post("/api/lab/runs", json={})
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert "wait for the lab already" in answer.json["detail"]
    assert site.client.get("/learn").status_code == 200
    gate.set()


def test_the_lab_ends_with_the_service(web: Make) -> None:
    site = web()
    slow = site.client.post("/api/lab/runs", json={"jobs": 20, "workers": 1, "length_ms": 300})
    wait_for(lambda: site.client.get(slow.json["url"]).json["state"] == "running", "it to run", WAIT_S)
    site.service.stop(5)
    ended = settled(site, slow.json)
    assert (ended["state"], ended["error"]) == ("failed", "The server stops: run it again later.")
    answer = site.client.post("/api/lab/runs", json={})
    assert (answer.status_code, answer.json["title"]) == (503, "The server is stopping")


def test_making_the_application_starts_no_thread(web: Make) -> None:
    site = web()
    assert not [thread for thread in threading.enumerate() if thread.name == "imgpool-lab"]
    page = site.client.get("/learn").get_data(as_text=True)
    photo = re.search(r'data-sample="([^"]+)"', page)
    assert photo is not None
    with site.client.get(photo[1]) as answer:
        assert answer.content_type == "image/avif"

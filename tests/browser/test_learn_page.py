"""The learn page in a real Chromium: its programs run, and are wound back and forth, by mouse or by keyboard."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from serving import WAIT_S, Server

pytestmark = pytest.mark.alone  # learners measure

OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def class_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for the whole module: nothing that is done here changes what the next learner sees."""
    with Server(tmp_path_factory.mktemp("learn") / "data", "--workers", "1", "--isolation", "thread") as running:
        yield running


@pytest.fixture
def page(open_page: OpenPage, class_server: Server) -> Page:
    return open_page(f"{class_server.url}/learn")


def stage(page: Page, name: str) -> Locator:
    return page.locator(f'[data-stage="{name}"]')


def run(lab: Locator, guess: str | None = None) -> None:
    if guess is not None:
        lab.get_by_label(guess, exact=True).check()
    lab.get_by_role("button", name="Run it").click()
    expect(lab.get_by_role("button", name="Run it")).to_be_enabled()
    expect(lab.locator("[data-lab-now]")).to_have_text(re.compile(r"^0 of \d+ .*Before the start\.$"))


def drag(lab: Locator, label: str, value: int) -> None:
    lab.get_by_label(label, exact=True).fill(str(value))


def state_of(lab: Locator) -> tuple[str, str]:
    """All that the drawing says, and the line that tells the step."""
    return lab.locator("[data-theatre]").inner_text(), lab.locator("[data-lab-now]").inner_text()


def test_a_run_is_replayed_forwards_and_back(page: Page) -> None:
    lab = stage(page, "complete")
    run(lab, "yes, always")
    expect(lab.locator("[data-lab-verdict]")).to_contain_text("✗ Not quite. This time they came as")
    forward, back = lab.get_by_role("button", name="One step forward"), lab.get_by_role("button", name="One step back")
    seen = [state_of(lab)]
    for _ in range(12):
        forward.click()
        seen.append(state_of(lab))
    assert len({line for _, line in seen}) == 13
    for before in reversed(seen[:-1]):
        back.click()
        assert state_of(lab) == before
    lab.get_by_role("button", name="To the end").click()
    expect(lab.locator(".theatre-paper")).to_contain_text("Result:")
    assert lab.locator('.actor[data-state="ended"]').count() == 3
    assert lab.locator('.slot[data-full="yes"]').count() == 0


def test_the_line_that_runs_is_marked_in_the_real_file(page: Page) -> None:
    lab = stage(page, "complete")
    run(lab)
    marked = lab.locator('.code-line[data-now="yes"]')
    texts = set()
    last = int(lab.locator("[data-position]").get_attribute("max") or 0)
    for step in range(1, last):
        lab.locator("[data-position]").fill(str(step))
        if marked.count():
            texts.add(marked.inner_text().strip().split("#")[0].split("◀")[0].strip())
    assert "time.sleep(work_s)" in texts
    assert "numbers.send(job)" in texts or "for job in range(1, jobs + 1):" in texts
    source = (Path(__file__).parents[2] / "imgpool/learn/lessons/02_complete_pool.py").read_text()
    assert all(text in source for text in texts)


def test_it_plays_by_itself_and_stops(page: Page) -> None:
    lab = stage(page, "worker")
    run(lab, "one")
    expect(lab.locator("[data-lab-verdict]")).to_contain_text("✓ Right. 1 at the most")
    lab.get_by_label("Speed").select_option("as it was")
    lab.get_by_role("button", name="Play").click()
    expect(lab.locator(".theatre-paper")).to_contain_text("The worker has seen that jobs is closed, and ends.")
    expect(lab.get_by_role("button", name="Play")).to_be_visible()
    lab.get_by_label("Speed").select_option("very slow")
    lab.get_by_role("button", name="Play").click()
    lab.get_by_role("button", name="Pause").click()
    expect(lab.get_by_role("button", name="Play")).to_be_visible()


def test_it_works_by_keyboard_alone(page: Page) -> None:
    lab = stage(page, "buffers")
    lab.get_by_label("nothing moves").focus()
    page.keyboard.press("ArrowDown")
    expect(lab.get_by_label("everything is done, but the producer stands blocked")).to_be_checked()
    page.keyboard.press("Tab")  # the first slider: places in the channel
    expect(lab.get_by_label("Places in the jobs channel")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(lab.locator("output").first).to_have_text("1")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")  # from within a form
    expect(lab.locator("[data-lab-verdict]")).to_contain_text("✓ Right. All 8 jobs were done")
    position = lab.locator("[data-position]")
    position.focus()
    page.keyboard.press("ArrowRight")
    expect(lab.locator("[data-lab-now]")).to_have_text(re.compile("^1 of "))
    expect(position).to_have_attribute("aria-valuetext", re.compile(r"^Step 1 of \d+\. "))
    page.keyboard.press("End")
    expect(lab.locator(".actor", has_text="producer")).to_have_attribute("data-state", "ended")
    expect(lab.locator(".actor", has_text="main")).to_contain_text("wants the others to end")
    page.keyboard.press("ArrowLeft")
    expect(lab.locator("[data-lab-log] [aria-current='step']")).to_have_count(1)
    expect(lab.locator("[data-lab-now]")).to_have_attribute("aria-live", "polite")


def test_who_is_blocked_is_told_by_word_and_stripes_too(page: Page) -> None:
    lab = stage(page, "uncollected")
    run(lab, "no: it stands still for ever")
    verdict = lab.locator("[data-lab-verdict]")
    expect(verdict).to_contain_text("✓ Right. 3 workers + 2 + 3 places = 8, and there were 9 jobs.")
    expect(verdict.locator(".diagnosis")).to_contain_text("DeadlockError: ")
    expect(verdict.locator(".diagnosis")).to_contain_text("main waits to send 9: jobs buffer full, 2 of 2")
    lab.get_by_role("button", name="To the end").click()
    blocked = lab.locator('.actor[data-state="blocked"]')
    expect(blocked).to_have_count(4)
    for actor in blocked.all():
        assert "blocked" in actor.inner_text()
        assert "repeating-linear-gradient" in actor.evaluate("(node) => getComputedStyle(node).backgroundImage")
    drag(lab, "Jobs", 8)
    run(lab, "yes")
    expect(verdict).to_contain_text("✓ Right.")
    expect(verdict.locator(".diagnosis")).to_have_count(0)


def test_a_channel_that_is_never_closed_is_diagnosed(page: Page) -> None:
    lab = stage(page, "unclosed")
    run(lab, "all five results come, and the program never ends")
    expect(lab.locator("[data-lab-verdict]")).to_contain_text("✓ Right. 5 results came.")
    expect(lab.locator(".diagnosis")).to_contain_text("jobs was never closed, so workers 1-3 cannot know")


def test_each_policy(page: Page) -> None:
    lab = stage(page, "policies")
    drag(lab, "Jobs", 10)
    drag(lab, "Time between two arrivals", 0)
    for policy, guess in (
        ("block", "its sender waits"),
        ("refuse", "it is turned away"),
        ("drop_oldest", "an older job is lost"),
        ("caller_runs", "its sender works"),
        ("none", "it is never full: all run at once"),
    ):
        lab.locator("select[name=policy]").select_option(policy)
        run(lab, guess)
        expect(lab.locator("[data-lab-verdict]")).to_contain_text("✓ Right.")
        shown = "no_pool" if policy == "none" else "pool"
        expect(lab.locator(f'[data-code="{shown}"]')).to_be_visible()
        expect(lab.locator("[data-code]:visible")).to_have_count(1)
        lab.get_by_role("button", name="To the end").click()


def test_the_number_of_workers_is_measured(page: Page) -> None:
    sweep = page.locator("[data-sweep]")
    sweep.get_by_label("more than four times").check()
    sweep.get_by_role("button", name="Measure").click()
    expect(sweep.locator("[data-lab-verdict]")).to_contain_text("8 workers were")
    expect(sweep.locator("[data-sweep-rows] tr")).to_have_count(4)
    rates = [float(cell) for cell in sweep.locator("[data-sweep-rows] td:nth-child(2)").all_inner_texts()]
    assert rates[3] > 2 * rates[0], "jobs that wait"
    expect(sweep.locator("[data-sweep-advice]")).to_contain_text("For this work, on this machine, now:")


def test_the_learners_own_figures_stay_in_the_browser(page: Page) -> None:
    expect(page.locator("[data-mine]")).to_be_hidden()
    lab = stage(page, "worker")
    run(lab, "all three")
    expect(lab.locator("[data-lab-verdict]")).to_contain_text(re.compile("[✓✗]"))
    was_right = "✓" in lab.locator("[data-lab-verdict]").inner_text()  # a run that got no time may prove anybody right
    expect(page.locator("[data-mine] tbody tr")).to_have_count(1)
    page.reload()
    row = page.locator("[data-mine] tbody tr")
    expect(row).to_contain_text("The worker function")
    expect(row).to_contain_text("✓ right" if was_right else "✗ not quite")
    page.get_by_role("button", name="Forget all").click()
    expect(page.locator("[data-mine]")).to_be_hidden()


def test_several_learners_wait_in_a_line_and_see_their_place(page: Page, class_server: Server) -> None:
    for _ in range(2):
        body = json.dumps({"jobs": 6, "workers": 1, "length_ms": 200}).encode()
        asked = urllib.request.Request(f"{class_server.url}/api/lab/runs", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(asked, timeout=WAIT_S) as answer:
            assert answer.status == 202
    lab = stage(page, "worker")
    lab.get_by_role("button", name="Run it").click()
    expect(lab.locator("[data-lab-line]")).to_have_text(
        re.compile("You are number 2 in the line|You are next in the line")
    )
    expect(lab.locator("[data-lab-now]")).to_contain_text("Before the start.")


def test_what_cannot_run_is_told_beside_the_button(page: Page) -> None:
    page.route(
        "**/api/lab/runs", lambda route: route.fulfill(status=200, json={"state": "failed", "error": "It broke."})
    )
    lab = stage(page, "how")
    lab.get_by_role("button", name="Run it").click()
    expect(lab.locator("[data-lab-line]")).to_have_text("It broke.")
    expect(lab.get_by_role("button", name="Run it")).to_be_enabled()


def test_the_squares_are_checked(page: Page) -> None:
    field = page.get_by_label("Five numbers")
    field.fill("1 4 9 10")
    field.press("Tab")
    expect(page.locator("[data-squares-verdict]")).to_have_text("✗ Not yet: 2 missing; 10 is no square of 1 to 5.")
    field.fill("25, 16, 9, 4, 1")
    field.press("Tab")
    expect(page.locator("[data-squares-verdict]")).to_have_text("✓ Right.")


def test_without_javascript_the_text_and_the_programs_are_there(open_page: OpenPage, class_server: Server) -> None:
    page = open_page(f"{class_server.url}/learn", java_script_enabled=False)
    expect(page.locator(".idea > h2")).to_have_count(13)
    expect(page.locator(".code:visible").first).to_contain_text("import")
    expect(page.get_by_text("needs JavaScript").first).to_be_visible()
    expect(page.get_by_role("button", name="Run it")).to_have_count(0)


def test_nothing_comes_from_elsewhere(open_page: OpenPage, class_server: Server) -> None:
    page = open_page("about:blank")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{class_server.url}/learn")
    run(stage(page, "worker"))
    assert asked
    assert [url for url in asked if not url.startswith((class_server.url, "data:", "blob:"))] == []


def test_it_fits_with_a_run_on_it(page: Page) -> None:
    lab = stage(page, "how")
    run(lab)
    lab.locator("[data-position]").fill("20")
    for width in (360, 768, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_nothing_moves_for_those_who_want_it_still(open_page: OpenPage, class_server: Server) -> None:
    page = open_page(f"{class_server.url}/learn", reduced_motion="reduce")
    lab = stage(page, "worker")
    run(lab)
    assert lab.locator(".actor").first.evaluate("(node) => getComputedStyle(node).transitionDuration") == "0s"
    assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"

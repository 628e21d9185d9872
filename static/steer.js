/** Steering without a new page: the forms of templates/_steer.html, answered by the API and drawn at once. */

import { setText } from "./format.js";

const panel = document.querySelector("[data-steer]"); // only for those who may
const many = document.getElementById("many");
const MOST_IDS = 1000; // as the API takes at once

let known = null; // the pool as it was told last
let asking = 0; // answers that are still to come
let before = Promise.resolve(); // the wish before this one
const picked = () => Array.from(document.querySelectorAll('input[name="id"]:checked'));

/** Makes buttons and fields those of a status; what somebody is just typing is left alone. */
export function drawSteering(status) {
  if (!panel) return;
  known = status.pool;
  const { workers, paused, queue } = known;
  if (asking === 0) drawSteps(workers);
  const places = panel.querySelector("input");
  if (places !== document.activeElement && Number(places.defaultValue) !== queue.capacity) {
    places.defaultValue = places.value = queue.capacity;
  }
  const pause = panel.querySelector("[data-pause]");
  pause.value = paused ? "no" : "yes";
  setText(pause, paused ? "Resume" : "Pause");
  const retry = panel.querySelector("[data-retry]");
  const { active, images } = status.retrying;
  retry.disabled = status.counts.failed === 0 || active;
  setText(retry, active ? `Retrying: ${images} put back` : "Retry all failed");
}

/** Who clicks twice wants two steps: the second one starts from what the first one wished, not from what is there yet. */
function drawSteps(workers) {
  for (const button of panel.querySelectorAll("[data-step]")) {
    const wanted = workers + Number(button.dataset.step);
    button.value = wanted;
    button.disabled = wanted < 1 || (known !== null && wanted > known.most_workers);
  }
}

async function steerTo(wish) {
  asking += 1;
  if (wish.workers) drawSteps(wish.workers);
  const mine = before.then(() => ask(panel.dataset.steer, "PATCH", wish)); // in their order, or the first would win
  before = mine.catch(() => {});
  try {
    return await mine;
  } finally {
    asking -= 1;
    if (asking === 0 && known) drawSteps(known.workers);
  }
}

async function ask(address, method, body) {
  const answer = await fetch(address, {
    method,
    headers: { Accept: "application/json", ...(body && { "Content-Type": "application/json" }) },
    body: body && JSON.stringify(body),
  });
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.detail ?? told.title);
  return told;
}

function wishOf(form, submitter) {
  const given = new FormData(form, submitter);
  if (given.has("paused")) return { paused: given.get("paused") === "yes" };
  return Object.fromEntries(Array.from(given, ([name, value]) => [name, Number(value)]));
}

/** What was wrong stands in the place of the note, so that nothing moves. */
function complain(text) {
  const wrong = panel.querySelector("[data-steer-wrong]");
  setText(wrong, text);
  wrong.hidden = !text;
  panel.querySelector("[data-steer-note]").hidden = Boolean(text);
}

/** Has the forms answered here. `changed(status)` is called with the new status, or with nothing: ask for it. */
export function steer(changed) {
  panel?.addEventListener("submit", async (event) => {
    event.preventDefault();
    const form = event.target;
    try {
      if (form.dataset.api) changed(await ask(form.dataset.api, "POST").then(() => undefined));
      else {
        form.querySelector("input")?.blur();
        changed(await steerTo(wishOf(form, event.submitter)));
      }
      complain("");
    } catch (error) {
      complain(error.message);
    }
  });

  many.addEventListener("submit", async (event) => {
    event.preventDefault();
    const ids = picked().map((box) => box.value);
    if (ids.length === 0) return;
    const wrong = many.querySelector("[data-many-wrong]");
    wrong.hidden = true;
    try {
      for (let start = 0; start < ids.length; start += MOST_IDS) {
        const some = ids.slice(start, start + MOST_IDS);
        await ask(many.dataset.api, "POST", { ids: some });
        for (const id of some) document.querySelector(`.card[data-id="${CSS.escape(id)}"]`)?.remove();
      }
      document.getElementById("images-title").focus(); // the button goes with what is folded, and with the last image all of it
      many.querySelector("details").open = false;
    } catch (error) {
      setText(wrong, `Not deleted: ${error.message}`);
      wrong.hidden = false;
    } finally {
      count();
      changed();
    }
  });

  const all = many.querySelector("[data-pick-all]");
  const boxes = () => Array.from(document.querySelectorAll('.cards input[name="id"]'));
  all.addEventListener("click", () => {
    const on = boxes().some((box) => !box.checked);
    for (const box of boxes()) box.checked = on;
    count();
  });

  function count() {
    const n = picked().length;
    setText(many.querySelector("[data-picked]"), n ? `(${n})` : "");
    setText(all, n && n === boxes().length ? "Select none" : "Select all shown");
  }
  document.addEventListener("change", (event) => event.target.name === "id" && count());
  count();
}

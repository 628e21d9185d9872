/**
 * The upload page: the form becomes a producer that sends what it is given by itself, file by file, and shows what
 * becomes of each. Without this module the browser sends the form. The parts are in static/upload.
 */

import { count, setText } from "./format.js";
import { fetchIfChanged, watch } from "./poll.js";
import { drawStatus, pageOf } from "./pool.js";
import { AT_SERVER, Files, OPEN, TROUBLE } from "./upload/files.js";
import { follow } from "./upload/follow.js";
import { intake } from "./upload/intake.js";
import { FILTERS, List } from "./upload/list.js";
import { remember } from "./upload/memory.js";
import { Sender } from "./upload/sender.js";
import { Total } from "./upload/total.js";
import { wordOf } from "./upload/words.js";

const form = document.querySelector("[data-upload]");
const panel = document.querySelector("section[data-uploads]");
const scroller = panel.querySelector("[data-scroller]");
const files = new Files();
const sender = new Sender(files, form.dataset.uploads);
const total = new Total(panel, files, sender.door);

/** For each waiting file what it waits for, as a word of the page, and how many seconds; counted once a second. */
let waits = new Map();
function countWaits() {
  const waiting = files.where((state) => state === "waiting");
  const perS = total.endedPerS;
  // Nothing has ended yet, so nothing can be said of turns: but when it is asked again.
  const asks = sender.door.why ? { word: "asks", seconds: Math.max(1, (sender.door.opensAt - Date.now()) / 1000) } : null;
  waits = new Map(waiting.map((entry, at) => [entry, perS === null ? asks : { word: "turn", seconds: (at + 1) / perS }]));
}

const list = new List(scroller, files, {
  door: sender.door,
  pageOf,
  waitOf: (entry) => waits.get(entry) ?? null,
});

const actions = {
  pause: (entry) => sender.pause(entry),
  resume: (entry) => files.change(entry, { state: "waiting" }),
  retry(entry) {
    const again = { sent: 0, image: null, id: null, address: null, reason: null };
    files.change(entry, { ...again, state: entry.file ? "waiting" : "lost" }); // from an earlier visit: no file
  },
  choose: () => document.getElementById("file").click(),
  remove(entry) {
    if (OPEN.has(entry.state) || entry.state === "lost") sender.cancel(entry);
    files.remove([entry]);
  },
};

scroller.addEventListener("click", ({ target }) => {
  const button = target.closest("button[data-does]");
  const row = button?.closest("[role=listitem]");
  if (!row?.entry) return;
  if (button.dataset.does === "remove") (row.nextElementSibling ?? row.previousElementSibling ?? form.querySelector("input")).focus();
  actions[button.dataset.does](row.entry);
});

const all = {
  pause: () => files.where((state) => state === "waiting" || state === "sending").forEach(actions.pause),
  resume: () => files.where((state) => state === "paused").forEach(actions.resume),
  retry: () => files.entries.filter((entry) => TROUBLE.has(entry.state) && entry.file).forEach(actions.retry),
  clear: () => files.remove(files.where((state) => state === "done")),
  forget() {
    const lost = files.where((state) => state === "lost");
    lost.forEach((entry) => sender.cancel(entry));
    files.remove(lost);
  },
};
for (const button of panel.querySelectorAll("[data-all]")) button.addEventListener("click", () => all[button.dataset.all]());

for (const button of panel.querySelectorAll("[data-filter]")) {
  button.addEventListener("click", () => {
    for (const each of panel.querySelectorAll("[data-filter]")) each.setAttribute("aria-pressed", each === button);
    list.filter = button.dataset.filter;
  });
}

/** Puts the focus where it does not fall off the page with what had it. */
function keepFocus() {
  if (files.entries.length === 0) form.querySelector("input").focus();
  else if (scroller.dataset.empty === "yes") panel.querySelector('[data-filter][aria-pressed="true"]').focus();
  else scroller.focus();
}

function draw() {
  const { counts } = files;
  document.documentElement.dataset.list = files.entries.length ? "some" : "none";
  const shown = {
    pause: counts.waiting + counts.sending > 0,
    resume: counts.paused > 0,
    retry: files.entries.some((entry) => TROUBLE.has(entry.state) && entry.file),
    clear: counts.done > 0 && files.total(OPEN) + files.total(AT_SERVER) === 0,
    forget: counts.lost > 0,
  };
  for (const button of panel.querySelectorAll("[data-all]")) {
    const hide = !shown[button.dataset.all];
    if (hide && button === document.activeElement) keepFocus();
    button.hidden = hide;
  }
  if (scroller === document.activeElement && scroller.dataset.empty === "yes") keepFocus(); // its last row has gone
  for (const button of panel.querySelectorAll("[data-filter]")) {
    const n = files.where(FILTERS[button.dataset.filter]).length;
    setText(button.querySelector("span"), count(n));
  }
  panel.querySelector("[data-lost-note]").hidden = counts.lost === 0;
  panel.querySelector("[data-signed-out]").hidden = !sender.signedOut;
  countWaits();
  total.draw();
}

files.addEventListener("show", () => requestAnimationFrame(draw));
setInterval(() => {
  if (files.total(OPEN) === 0) return;
  countWaits();
  list.draw(); // waits get shorter, although nothing happens
}, 1000);

intake(form, (given, leftOut) => {
  const added = files.add(given);
  const said = added < given.length ? wordOf("known", { n: given.length - added }) : leftOut ? wordOf("left-out", { n: leftOut }) : "";
  setText(form.querySelector("[data-intake]"), said);
});

const samples = form.querySelector("[data-samples]");
samples?.addEventListener("click", async () => {
  samples.disabled = true;
  setText(form.querySelector("[data-intake]"), "");
  try {
    for (const address of samples.dataset.samples.split(" ")) {
      const answer = await fetch(address);
      if (!answer.ok) throw new TypeError(`${address}: ${answer.status}`);
      const blob = await answer.blob();
      files.add([new File([blob], decodeURIComponent(address.split("/").pop()), { type: blob.type, lastModified: 0 })]);
    }
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    setText(form.querySelector("[data-intake]"), wordOf("no-samples"));
  } finally {
    samples.disabled = false;
  }
});

window.addEventListener("beforeunload", (event) => {
  if (files.total(OPEN) > 0) event.preventDefault();
});

remember(files);
follow(files, form.dataset.images);
draw();

const server = document.querySelector("[data-status]");
if (server) {
  const look = async () => {
    const status = await fetchIfChanged(server.dataset.status);
    if (status) drawStatus(status);
  };
  watch(look, { pauseMs: 2000, onTrouble: (error) => (server.dataset.stale = error ? "yes" : "no") });
}

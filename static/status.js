/** The status page keeps itself up to date: the pool and the newest images within a second, by one question. */

import { PAGE, endless } from "./endless.js";
import { count, setText } from "./format.js";
import { SignedOut, fetchIfChanged, watch } from "./poll.js";
import { drawPeers } from "./peers.js";
import { drawStatus } from "./pool.js";
import { updatePlots } from "./plots.js";
import { drawSteering, steer } from "./steer.js";
import { showTime } from "./times.js";
import { showInTab, showLostInTab } from "./tab.js";

const PAUSE_MS = 750; // with an answer that is a fifth of a second old, still within a second
const HIDDEN_PAUSE_MS = 3000; // for title and icon of a tab in the background
const PLOTS_PAUSE_MS = 4000;

const list = document.querySelector("[data-images]");
const older = document.querySelector("[data-older]");
const root = document.documentElement.dataset;
const names = new Map();
let fresh = new Date();

const come = document.querySelector("[data-come]");
let page = null; // the newest images as they were told last
let latest = null; // the status that was told last
let asked = false; // somebody has just asked for what is new, or changed something
let looks = 0;
let wasHidden = null; // at the last look
let changes = 0; // made from here so far

const { source, state } = list.dataset;
const first = { cursor: list.dataset.cursor, limit: list.dataset.limit || PAGE };

function address(path, { cursor, limit }, more = {}) {
  const query = new URLSearchParams({ watch: "", ...more });
  if (state) query.set("state", state);
  if (cursor) query.set("cursor", cursor);
  if (limit) query.set("limit", limit);
  return `${path}?${query}`;
}

/** Names for the workers' lanes: of images that a worker may have soon. All that scroll by would be a hundred thousand. */
function know(images) {
  for (const { id, name, state } of images) {
    if (state === "queued" || state === "processing") names.set(id, name);
    else names.delete(id);
  }
}

const images = endless({
  newest: list,
  below: document.querySelector("[data-below]"),
  end: document.querySelector("[data-end]"),
  addressOf: (cursor, limit) => address(source, { cursor, limit }),
  known: know,
});
older.hidden = true; // the list goes on by itself

async function update() {
  const { status } = list.dataset;
  const { hidden } = document;
  const changed = changes;
  const asks = hidden ? `${status}?watch` : address(status, first, { images: "" });
  // What was drawn last may be the other question's answer: then the same answer as the last time is drawn, too.
  const told = await fetchIfChanged(asks, { always: wasHidden !== hidden });
  if (changes !== changed) {
    wasHidden = null; // asked before that change, so perhaps answered before it, too: what is drawn is newer
    return;
  }
  wasHidden = hidden;
  const alsoOlder = !hidden && looks++ % 2 === 0;
  if (told?.images) {
    page = told.images;
    if (alsoOlder) names.clear();
    know(page.images);
  }
  if (page && (told?.images || !come.hidden)) drawImages();
  if (told) draw(told);
  if (alsoOlder) await images.refresh();
  fresh = new Date();
}

function drawImages() {
  const waiting = images.draw(page.images, page.next, { asked });
  asked = false;
  const most = waiting === page.images.length && page.next !== null;
  setText(come.querySelector("[data-come-count]"), `${count(waiting)}${most ? "+" : ""}`);
  if (come.hidden === waiting > 0) {
    come.hidden = waiting === 0;
    setText(document.querySelector("[data-come-said]"), waiting ? "There are new images." : "");
  }
  document.querySelector("[data-empty]").hidden = page.images.length > 0;
}

come.addEventListener("click", () => {
  asked = true;
  drawImages();
  document.getElementById("images").scrollIntoView();
  list.querySelector("a")?.focus({ preventScroll: true });
});

function draw(status) {
  latest = status;
  drawStatus(status, (id) => names.get(id));
  drawPeers(status, (id) => names.get(id));
  drawSteering(status);
  showInTab(status);
}

function tell(error) {
  const signedOut = error instanceof SignedOut;
  document.querySelector("[data-lost-signed-out]").hidden = !signedOut;
  const lost = document.querySelector("[data-lost-connection]");
  if (error && !signedOut && lost.hidden) showTime(lost.querySelector("time"), fresh.toISOString());
  lost.hidden = !error || signedOut;
  root.stale = error ? "yes" : "no";
  if (error) showLostInTab();
  else if (latest) showInTab(latest);
}

watch(updatePlots, { pauseMs: PLOTS_PAUSE_MS, onTrouble: () => {} })();
const look = watch(update, { pauseMs: PAUSE_MS, hiddenPauseMs: HIDDEN_PAUSE_MS, onTrouble: tell });
look();
steer((status) => {
  changes += 1;
  looks = 0;
  asked = !status;
  if (status) draw(status);
  else look();
});

/** The status page keeps itself up to date: one GET of the status and one of the images a second. */

import { drawImages } from "./images.js";
import { SignedOut, fetchIfChanged, watch } from "./poll.js";
import { drawStatus } from "./pool.js";
import { updatePlots } from "./plots.js";
import { drawSteering, steer } from "./steer.js";
import { showTime } from "./times.js";

const PAUSE_MS = 1000;
const PLOTS_PAUSE_MS = 3000;

const list = document.querySelector("[data-images]");
const older = document.querySelector("[data-older]");
const root = document.documentElement.dataset;
const names = new Map();
let fresh = new Date();

function imagesAddress() {
  const query = new URLSearchParams();
  if (list.dataset.state) query.set("state", list.dataset.state);
  if (list.dataset.cursor) query.set("cursor", list.dataset.cursor);
  if (list.dataset.limit) query.set("limit", list.dataset.limit);
  return `${list.dataset.source}?${query}`;
}

async function update() {
  const [status, page] = await Promise.all([fetchIfChanged(list.dataset.status), fetchIfChanged(imagesAddress())]);
  if (page) {
    names.clear();
    for (const image of page.images) names.set(image.id, image.name);
    drawImages(list, page.images);
    document.querySelector("[data-empty]").hidden = page.images.length > 0;
    older.hidden = page.next === null;
    if (page.next !== null) older.href = older.dataset.href.replace("CURSOR", encodeURIComponent(page.next));
  }
  if (status) draw(status);
  fresh = new Date();
}

function draw(status) {
  drawStatus(status, (id) => names.get(id));
  drawSteering(status);
}

function tell(error) {
  const signedOut = error instanceof SignedOut;
  document.querySelector("[data-lost-signed-out]").hidden = !signedOut;
  const lost = document.querySelector("[data-lost-connection]");
  if (error && !signedOut && lost.hidden) showTime(lost.querySelector("time"), fresh.toISOString());
  lost.hidden = !error || signedOut;
  root.stale = error ? "yes" : "no";
}

steer((status) => (status ? draw(status) : update().catch(tell)));
watch(updatePlots, { pauseMs: PLOTS_PAUSE_MS, onTrouble: () => {} });
updatePlots().catch(() => {});
watch(update, { pauseMs: PAUSE_MS, onTrouble: tell });

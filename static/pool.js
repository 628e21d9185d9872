/** Keeps what templates/_pool.html drew true to a status from GET /api/status. Words and markup stay in the template. */

import { FORMATS, count, seconds, setText } from "./format.js";
import { speaker } from "./say.js";
import { showTime } from "./times.js";

const SHORT_WAIT_S = 0.05; // as in templates/_pool.html
const MOST_SQUARES = 256; // this, too
const FEW_LANES = 3; // so many fit into their box; more have to be scrolled, by keyboard, too

const speakers = new WeakMap(); // summary -> say

const at = (status, path) => path.split(".").reduce((value, key) => value?.[key], status) ?? null;

/** Writes a status into every part of the page that shows one. `nameOf(id)` is an image's name, if known. */
export function drawStatus(status, nameOf = () => undefined) {
  const { queue } = status.pool;
  queue.free = Math.max(0, queue.capacity - queue.buffered - queue.reserved);
  // First the sentences, then the numbers in them.
  for (const node of document.querySelectorAll("[data-summary]")) drawSummary(node, status);
  for (const node of document.querySelectorAll("[data-field]")) {
    showNumber(node, at(status, node.dataset.field));
  }
  for (const node of document.querySelectorAll("[data-channel]")) drawChannel(node, at(status, node.dataset.channel));
  for (const node of document.querySelectorAll("[data-lanes]")) drawLanes(node, status.pool.lanes, nameOf);
  for (const node of document.querySelectorAll("[data-reasons]")) drawReasons(node, status.refused_by);
  for (const node of document.querySelectorAll("[data-refusals]")) drawRefusals(node, status.refusals);
  for (const node of document.querySelectorAll("[data-none-refused]")) node.hidden = Object.keys(status.refused_by).length > 0;
}

function showNumber(node, value) {
  node.value = value ?? "";
  setText(node, FORMATS[node.dataset.kind](value));
}

function drawSummary(root, status) {
  const words = root.querySelector("template").content;
  const open = status.accepting ? "none" : (status.reason ?? "other");
  const wanted = status.pool.paused && ["none", "no_room"].includes(open) ? "paused" : open;
  const line = root.querySelector("[data-headline]");
  if (!speakers.has(root)) speakers.set(root, speaker(root.querySelector("[data-said]"), line.textContent));
  if (root.dataset.summary !== wanted) {
    const found = words.querySelector(`[data-reason="${CSS.escape(wanted)}"]`) ?? words.querySelector('[data-reason="other"]');
    const [headline, ...sentence] = found.cloneNode(true).children;
    setText(line, headline.textContent);
    root.querySelector("[data-sentence]").replaceChildren(...sentence);
    root.dataset.summary = wanted;
  }
  speakers.get(root)(line.textContent);
  const wait = root.querySelector("[data-wait]");
  if (wait) wait.hidden = status.wait_s.estimate === null || status.wait_s.estimate < SHORT_WAIT_S;
}

function drawChannel(root, channel) {
  if (!channel) return;
  const { capacity, buffered, reserved = 0 } = channel;
  const places = Math.max(capacity, buffered + reserved); // more than the capacity, when that was made smaller
  if (Number(root.dataset.drawn) !== places) rebuildChannel(root, places);
  const bar = root.querySelector("svg");
  if (bar) {
    bar.querySelector(".bar-buffered").setAttribute("width", buffered);
    bar.querySelector(".bar-reserved").setAttribute("x", buffered);
    bar.querySelector(".bar-reserved").setAttribute("width", reserved);
    return;
  }
  let place = 0;
  for (const node of root.children) {
    const now = place < buffered ? "buffered" : place < buffered + reserved ? "reserved" : "free";
    if (node.dataset.place !== now) node.dataset.place = now;
    place += 1;
  }
}

/** The number of places changed under way: squares are added or taken, or a bar is drawn instead of them. */
function rebuildChannel(root, places) {
  if (places > MOST_SQUARES) {
    if (!root.querySelector("svg")) root.replaceChildren(newBar());
    root.querySelector("svg").setAttribute("viewBox", `0 0 ${places} 1`);
  } else {
    if (root.dataset.columns !== String(columnsFor(places))) root.replaceChildren(); // of another size: drawn anew
    while (root.children.length > places) root.lastElementChild.remove();
    while (root.children.length < places) root.append(Object.assign(document.createElement("i"), { className: "place" }));
  }
  root.dataset.drawn = places;
  root.dataset.columns = columnsFor(places);
}

const columnsFor = (capacity) => (capacity > MOST_SQUARES ? 1 : capacity <= 16 ? 8 : capacity <= 64 ? 16 : 32); // as in templates/_pool.html

function newBar() {
  const part = (name, attributes) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    return node;
  };
  const bar = part("svg", { class: "bar", preserveAspectRatio: "none" });
  for (const kind of ["buffered", "reserved"]) bar.append(part("rect", { class: `bar-${kind}`, x: 0, y: 0, width: 0, height: 1 }));
  return bar;
}

function drawLanes(root, lanes, nameOf) {
  const blank = document.getElementById("lane").content.firstElementChild;
  while (root.children.length > lanes.length) root.lastElementChild.remove();
  while (root.children.length < lanes.length) root.append(blank.cloneNode(true));
  root.tabIndex = lanes.length > FEW_LANES ? 0 : -1;
  lanes.forEach((lane, index) => drawLane(root.children[index], lane, nameOf));
}

function drawLane(node, lane, nameOf) {
  const part = (name) => node.querySelector(`[data-lane="${name}"]`);
  const known = lane.image !== null; // others' images have no ID here
  node.dataset.busy = lane.busy ? "yes" : "no";
  node.querySelector(".place").dataset.place = lane.busy ? "buffered" : "free";
  setText(part("worker"), lane.worker.replace("imgpool-", "").replaceAll("-", " "));
  part("idle").hidden = lane.busy;
  part("other").hidden = !lane.busy || known;
  part("image").hidden = !known;
  if (known) {
    part("image").href = pageOf(lane.image);
    setText(part("image").querySelector("bdi"), nameOf(lane.image) ?? lane.image.slice(0, 8));
  }
  setText(part("time"), lane.busy ? seconds(lane.for_s) : "");
}

/** The address of an image's page; the page itself says what such addresses look like. */
export function pageOf(id) {
  return document.querySelector("[data-page]").dataset.page.replace("0".repeat(32), id);
}

function drawReasons(root, refusedBy) {
  const rows = new Map(Array.from(root.children, (row) => [row.dataset.reason, row]));
  for (const [reason, n] of Object.entries(refusedBy)) {
    const row = rows.get(reason) ?? root.appendChild(blankReason(reason));
    setText(row.querySelector("b"), count(n));
  }
  // Another server has counted anew since the page was opened.
  for (const [reason, row] of rows) if (!(reason in refusedBy)) row.remove();
}

function drawRefusals(root, all) {
  const refusals = all.slice(0, Number(root.dataset.refusals) || all.length);
  const blank = document.getElementById("refusal").content.firstElementChild;
  while (root.children.length > refusals.length) root.lastElementChild.remove();
  while (root.children.length < refusals.length) root.append(blank.cloneNode(true));
  root.parentElement.querySelector("[data-some-refused]").hidden = refusals.length === 0;
  refusals.forEach(({ at: moment, reason, count: n }, index) => {
    const row = root.children[index];
    const part = (name) => row.querySelector(`[data-refusal="${name}"]`);
    showTime(part("time").firstElementChild, moment);
    setText(part("count"), count(n));
    if (row.dataset.refusedFor !== reason) {
      row.dataset.refusedFor = reason;
      setText(part("words"), blankReason(reason).querySelector("span").textContent);
    }
  });
}

function blankReason(reason) {
  const known = document.getElementById("reasons").content;
  const row = known.querySelector(`[data-reason="${CSS.escape(reason)}"]`)?.cloneNode(true);
  if (row) return row;
  const unknown = known.firstElementChild.cloneNode(true);
  unknown.dataset.reason = reason;
  unknown.querySelector("span").textContent = reason.replaceAll("_", " ");
  return unknown;
}

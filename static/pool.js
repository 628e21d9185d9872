/** Keeps what templates/_pool.html drew true to a status from GET /api/status. Words and markup stay in the template. */

import { bytes, count, rate, seconds, setText } from "./format.js";

const SHORT_WAIT_S = 0.05; // as in templates/_pool.html
const FORMATS = { count, rate, seconds, bytes };

const at = (status, path) => path.split(".").reduce((value, key) => value?.[key], status) ?? null;

/** Writes a status into every part of the page that shows one. `nameOf(id)` is an image's name, if known. */
export function drawStatus(status, nameOf = () => undefined) {
  const { queue } = status.pool;
  queue.free = Math.max(0, queue.capacity - queue.buffered - queue.reserved);
  for (const node of document.querySelectorAll("[data-field]")) {
    setText(node, FORMATS[node.dataset.kind](at(status, node.dataset.field)));
  }
  for (const node of document.querySelectorAll("[data-summary]")) drawSummary(node, status);
  for (const node of document.querySelectorAll("[data-channel]")) drawChannel(node, at(status, node.dataset.channel));
  for (const node of document.querySelectorAll("[data-lanes]")) drawLanes(node, status.pool.lanes, nameOf);
  for (const node of document.querySelectorAll("[data-reasons]")) drawReasons(node, status.refused_by);
}

function drawSummary(root, status) {
  const wanted = status.accepting ? "yes" : status.reason;
  const known = root.querySelector(`[data-accepting="${CSS.escape(wanted ?? "no")}"]`) !== null;
  root.dataset.open = status.accepting ? "yes" : "no";
  for (const node of root.querySelectorAll("[data-accepting]")) {
    const hidden = node.dataset.accepting !== (known ? wanted : "no");
    if (node.hidden !== hidden) node.hidden = hidden;
  }
  const wait = status.wait_s.estimate;
  root.querySelector('[data-wait="short"]').hidden = wait === null || wait >= SHORT_WAIT_S;
  root.querySelector('[data-wait="long"]').hidden = wait === null || wait < SHORT_WAIT_S;
}

function drawChannel(root, channel) {
  if (!channel) return;
  const { capacity, buffered, reserved = 0 } = channel;
  if (Number(root.dataset.capacity) !== capacity) rebuildChannel(root, capacity);
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

/** The capacity changed under way (another server came back): squares are added or taken; a bar is only rescaled. */
function rebuildChannel(root, capacity) {
  const bar = root.querySelector("svg");
  if (bar) bar.setAttribute("viewBox", `0 0 ${capacity} 1`);
  else if (capacity > Number(root.dataset.mostSquares)) return location.reload();
  else {
    while (root.children.length > capacity) root.lastElementChild.remove();
    while (root.children.length < capacity) root.append(Object.assign(document.createElement("i"), { className: "place" }));
  }
  root.dataset.capacity = capacity;
}

function drawLanes(root, lanes, nameOf) {
  const blank = document.getElementById("lane").content.firstElementChild;
  while (root.children.length > lanes.length) root.lastElementChild.remove();
  while (root.children.length < lanes.length) root.append(blank.cloneNode(true));
  lanes.forEach((lane, index) => drawLane(root.children[index], lane, nameOf));
}

function drawLane(node, lane, nameOf) {
  const part = (name) => node.querySelector(`[data-lane="${name}"]`);
  const busy = lane.image !== null;
  node.dataset.busy = busy ? "yes" : "no";
  node.querySelector(".place").dataset.place = busy ? "buffered" : "free";
  setText(part("worker"), lane.worker);
  part("idle").hidden = busy;
  part("image").hidden = !busy;
  if (busy) {
    part("image").href = pageOf(lane.image);
    setText(part("image"), nameOf(lane.image) ?? lane.image.slice(0, 8));
  }
  setText(part("time"), busy ? seconds(lane.for_s) : "");
}

/** The address of an image's page; the page itself says what such addresses look like. */
export function pageOf(id) {
  return document.querySelector("[data-page]").dataset.page.replace("0".repeat(32), id);
}

function drawReasons(root, refusedBy) {
  for (const node of root.children) {
    const n = refusedBy[node.dataset.reason] ?? 0;
    setText(node.querySelector("b"), count(n));
    node.hidden = n === 0;
  }
  const none = root.parentElement.querySelector("[data-none-refused]");
  if (none) none.hidden = Object.keys(refusedBy).length > 0;
}

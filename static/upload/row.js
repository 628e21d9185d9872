/** One row of the list: what it shows of an entry. */

import { bytes, setText } from "../format.js";
import { noPreview, preview } from "./preview.js";
import { about, wordOf } from "./words.js";

const blank = document.getElementById("upload-row").content.firstElementChild;

export function newRow() {
  const node = blank.cloneNode(true);
  node.parts = Object.fromEntries(Array.from(node.querySelectorAll("[data-part]"), (part) => [part.dataset.part, part]));
  return node;
}

/** The row is for another entry now, or for none. */
export function clearRow(node) {
  if (node.entry) noPreview(node.entry);
  node.entry = node.shown = node.pictured = null;
}

export function drawRow(node, entry, context) {
  const { parts } = node;
  if (node.entry !== entry) {
    clearRow(node);
    node.entry = entry;
    setText(parts.name, entry.name);
    parts.name.title = entry.path;
    for (const button of node.querySelectorAll("button")) {
      button.setAttribute("aria-label", `${button.textContent.trim()} ${entry.name}`);
    }
  }
  drawPicture(node, entry);
  const { state } = entry;
  if (node.shown !== state) {
    node.shown = state;
    node.dataset.state = state;
    parts.bar.hidden = state !== "sending" && state !== "paused";
    for (const button of node.querySelectorAll("button")) {
      const hide = !button.dataset.for.split(" ").includes(state);
      // The focus must not fall off the page with a button that goes.
      if (hide && button === document.activeElement) node.focus();
      button.hidden = hide;
    }
  }
  const word = state === "waiting" && context.door.why ? `closed-${context.door.why}` : state;
  parts.state.dataset.state = parts.state.dataset.why = word;
  setText(parts.state, wordOf(word));
  setText(parts.facts, facts(entry));
  setText(parts.more, more(entry, context));
  if (!parts.bar.hidden) parts.bar.value = entry.size ? entry.sent / entry.size : 0;
  const link = entry.id ? context.pageOf(entry.id) : "";
  if (link && parts.name.getAttribute("href") !== link) parts.name.href = link;
  if (!link) parts.name.removeAttribute("href");
}

function facts(entry) {
  if (entry.state !== "sending" && entry.state !== "paused") return bytes(entry.size);
  const speed = entry.rate && entry.state === "sending" ? ` · ${bytes(Math.round(entry.rate))}/s` : "";
  return `${wordOf("of", { sent: bytes(entry.sent), size: bytes(entry.size) })}${speed}`;
}

function more(entry, context) {
  if (entry.reason) return entry.reason;
  if (entry.state === "lost") return wordOf(entry.address ? "lost-some" : "lost-none");
  if (entry.state === "queued") return entry.place ? wordOf("place", { n: entry.place }) : "";
  if (entry.state === "waiting") {
    const wait = context.waitOf(entry);
    return wait === null ? "" : wordOf(wait.word, { time: about(wait.seconds) });
  }
  return "";
}

function drawPicture(node, entry) {
  const { thumb, canvas } = node.parts;
  const made = entry.image?.variants?.find((variant) => variant.name === "thumb") ?? entry.image?.variants?.[0];
  const pictured = made ? made.url : entry.file;
  if (node.pictured === pictured) return;
  node.pictured = pictured;
  thumb.hidden = !made;
  if (made) {
    canvas.hidden = true;
    thumb.src = made.url;
  } else {
    canvas.entry = entry;
    preview(entry, canvas);
  }
}

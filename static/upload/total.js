/** All files together: how far, how fast, how long; in the page, in the title, in the tab's icon, for a screen reader. */

import { bytes, setText } from "../format.js";
import { AT_SERVER, OPEN } from "./files.js";
import { about, wordOf } from "./words.js";

const WINDOW_MS = 20_000;
const SPEAK_EVERY_MS = 15_000;

export class Total {
  #root;
  #files;
  #door;
  #samples = []; // [time, bytes sent, files ended]
  #title = document.title;
  #icon = document.querySelector('link[rel="icon"]');
  #plainIcon = this.#icon.href;
  #drawn = "";
  #spokenAt = 0;
  #wasOpen = false;
  #before = null; // how many files there were when it was last drawn

  constructor(root, files, door) {
    this.#root = root;
    this.#files = files;
    this.#door = door;
    setInterval(() => this.draw(), 1000);
  }

  /** Files that end in a second, over the last seconds; null while nothing is known. */
  get endedPerS() {
    return this.#perS(2);
  }

  #perS(column) {
    if (this.#samples.length < 2) return null;
    const [first, last] = [this.#samples[0], this.#samples.at(-1)];
    const passed = last[0] - first[0];
    const moved = last[column] - first[column];
    return passed > 1500 && moved > 0 ? (moved * 1000) / passed : null;
  }

  draw() {
    const { counts, entries } = this.#files;
    const open = this.#files.total(OPEN);
    const under = open + this.#files.total(AT_SERVER);
    const over = entries.length - under - counts.lost;
    const now = performance.now();
    this.#samples.push([now, this.#files.sent, over]);
    while (this.#samples[0][0] < now - WINDOW_MS) this.#samples.shift();
    if (!under) this.#samples = [];

    const part = (name) => this.#root.querySelector(`[data-total="${name}"]`);
    const most = entries.length - counts.lost;
    const trouble = counts.refused + counts.failed;
    const headline = headlineOf(under, trouble, counts.done, most);
    const values = { done: counts.done, all: most, trouble };
    setText(part("headline"), wordOf(headline, values));
    setText(part("detail"), this.#detail(under));
    const share = this.#files.bytes ? (this.#files.sent / this.#files.bytes + over / (entries.length || 1)) / 2 : 0;
    part("bar").value = share;
    part("bar").hidden = !under;
    this.#drawTab(under, share, values);
    this.#speak(under, now, headline, values);
  }

  #detail(under) {
    const { counts } = this.#files;
    if (!under) return "";
    const said = [wordOf("sent", { sent: bytes(this.#files.sent), size: bytes(this.#files.bytes) })];
    // The rates are of the last seconds: of a server that does not answer they would promise what it did before.
    const answers = this.#door.why !== "connection" && this.#door.why !== "server";
    const speed = this.#perS(1);
    if (speed && answers) said.push(`${bytes(Math.round(speed))}/s`);
    const perS = this.endedPerS;
    if (perS && answers) said.push(wordOf("left-time", { time: about((under - counts.paused) / perS) }));
    if (this.#door.why && counts.waiting) said.push(wordOf(`why-${this.#door.why}`));
    else if (counts.paused === under) said.push(wordOf("all-paused"));
    return said.join(" · ");
  }

  #drawTab(under, share, { done, all }) {
    const { refused, failed } = this.#files.counts;
    document.title = under ? `${wordOf("title", { done, all })} · ${this.#title}` : this.#title;
    const state = under ? `busy-${Math.round(share * 16)}` : refused + failed ? "trouble" : "plain";
    if (state === this.#drawn) return;
    this.#drawn = state;
    this.#icon.href = state === "plain" ? this.#plainIcon : icon(under ? share : 1, state === "trouble");
  }

  /** Now and then, and when all have ended: never for each file or each byte. */
  #speak(under, now, headline, values) {
    const came = this.#before !== null && values.all > this.#before; // and ended before this was drawn, perhaps
    const over = (this.#wasOpen || came) && !under;
    this.#wasOpen = under > 0;
    this.#before = values.all;
    if (!over && !(under && now - this.#spokenAt > SPEAK_EVERY_MS)) return;
    this.#spokenAt = now;
    setText(document.querySelector("[data-spoken]"), wordOf(headline, values));
  }
}

function headlineOf(under, trouble, done, all) {
  if (under) return "going";
  if (trouble) return trouble === 1 ? "one-trouble" : "trouble";
  if (done) return all === 1 ? "one-ended" : "ended";
  return "left";
}

/** A ring that fills; a square with a bar when something needs a look: the shape says it, too. */
function icon(share, trouble) {
  const ring = 2 * Math.PI * 11;
  const drawing = trouble
    ? '<rect x="3" y="3" width="26" height="26" rx="6" fill="#b3261e"/><path d="M16 9v9M16 22v1" stroke="#fff" stroke-width="4" stroke-linecap="round"/>'
    : '<circle cx="16" cy="16" r="11" fill="none" stroke="#a9b9bb" stroke-width="6"/>' +
      `<circle cx="16" cy="16" r="11" fill="none" stroke="#0b7285" stroke-width="6" stroke-dasharray="${share * ring} ${ring}" transform="rotate(-90 16 16)"/>`;
  return `data:image/svg+xml,${encodeURIComponent(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">${drawing}</svg>`)}`;
}

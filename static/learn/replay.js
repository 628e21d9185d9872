/** A run that is wound back and forth: by buttons, by the slider of steps, by a click into the bands, or by itself. */

import { setText } from "../format.js";
import { framesOf } from "./frames.js";
import { buildTheatre } from "./theatre.js";
import { drawTimes } from "./times.js";
import { sentenceOf } from "./words.js";

const SPEEDS = { slowest: { stepMs: 1200, factor: 4 }, slow: { stepMs: 380, factor: 2 }, fast: { stepMs: 90, factor: 1 }, real: { stepMs: 0, factor: 1 } };
const LONGEST_PAUSE_MS = 2500;

export class Replay {
  constructor(root) {
    this.root = root;
    this.find = (name) => root.querySelector(`[data-${name}]`);
    this.timer = null;
    this.position = this.find("position");
    this.position.addEventListener("input", () => this.stopAt(Number(this.position.value)));
    const go = { first: () => 0, back: () => this.at - 1, forward: () => this.at + 1, last: () => this.frames.length - 1 };
    for (const button of root.querySelectorAll("[data-go]")) {
      const where = go[button.dataset.go];
      button.addEventListener("click", () => (where ? this.stopAt(where()) : this.playOrPause()));
    }
  }

  /** Shows a new trace, from its start. */
  load(trace) {
    this.stop();
    this.frames = framesOf(trace);
    this.root.querySelector("[data-lab-replay]").hidden = false; // before the bands are drawn: they are as wide as there is room
    this.draw = buildTheatre(this.find("theatre"), this.frames);
    this.moveCursor = drawTimes(this.find("times"), this.frames, trace.figures.ended_ms, (ms) => {
      const later = this.frames.findIndex((frame) => frame.at_ms > ms);
      this.stopAt((later === -1 ? this.frames.length : later) - 1);
    });
    this.code = null;
    for (const figure of this.root.querySelectorAll("[data-code]")) {
      figure.hidden = figure.dataset.code !== trace.experiment.program;
      if (!figure.hidden) this.code = figure;
    }
    const log = this.find("lab-log");
    log.replaceChildren(...this.frames.slice(1).map((frame) => Object.assign(document.createElement("li"), { textContent: sentenceOf(frame) })));
    this.position.max = this.frames.length - 1;
    this.show(0);
  }

  show(at) {
    this.at = Math.max(0, Math.min(at, this.frames.length - 1));
    const frame = this.frames[this.at];
    this.draw(frame);
    this.moveCursor(frame.at_ms);
    this.position.value = this.at;
    const sentence = sentenceOf(frame);
    this.position.setAttribute("aria-valuetext", `Step ${this.at} of ${this.frames.length - 1}. ${sentence}`);
    setText(this.find("lab-now"), `${this.at} of ${this.frames.length - 1} · ${frame.at_ms.toFixed(1)}\u00a0ms · ${sentence}`);
    for (const row of this.find("lab-log").querySelectorAll("[aria-current]")) row.removeAttribute("aria-current");
    this.find("lab-log").children[this.at - 1]?.setAttribute("aria-current", "step");
    this.markLines(frame);
  }

  /** The line each thread has come to; the one whose step this is stands out. */
  markLines(frame) {
    if (!this.code) return;
    const at = new Map();
    for (const thread of Object.values(frame.threads)) {
      if (thread.line === null || thread.state === "absent" || thread.state === "ended") continue;
      at.set(String(thread.line), [...(at.get(String(thread.line)) ?? []), thread.name]);
    }
    const active = frame.step && frame.threads[frame.step.who].line;
    for (const line of this.code.querySelectorAll(".code-line")) {
      const names = at.get(line.dataset.line);
      const activeHere = String(active) === line.dataset.line;
      line.dataset.at = names ? (names.length > 4 ? `${names.length} threads` : names.join(", ")) : "";
      line.dataset.now = activeHere && names ? "yes" : "no";
      if (line.dataset.now === "yes") bringIntoView(line);
    }
  }

  stopAt(at) {
    this.stop();
    this.show(at);
  }

  playOrPause() {
    if (this.timer !== null) return this.stop();
    if (this.at >= this.frames.length - 1) this.show(0);
    this.find("lab-now").setAttribute("aria-live", "off"); // what is played is told by the log; a voice could not keep up
    setText(this.find("play-word"), "Pause");
    this.next();
  }

  next() {
    if (this.at >= this.frames.length - 1) return this.stop();
    const speed = SPEEDS[this.find("speed").value];
    const passedMs = this.frames[this.at + 1].at_ms - this.frames[this.at].at_ms;
    const pauseMs = Math.min(LONGEST_PAUSE_MS, Math.max(speed.stepMs, passedMs * speed.factor));
    this.timer = setTimeout(() => {
      this.show(this.at + 1);
      this.next();
    }, pauseMs);
  }

  stop() {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    this.find("lab-now").setAttribute("aria-live", "polite");
    setText(this.find("play-word"), "Play");
  }
}

/** Scrolls the program, never the page. */
function bringIntoView(line) {
  const pane = line.parentElement;
  const above = line.offsetTop - pane.offsetTop;
  if (above < pane.scrollTop || above + line.offsetHeight > pane.scrollTop + pane.clientHeight) pane.scrollTop = above - pane.clientHeight / 2;
}

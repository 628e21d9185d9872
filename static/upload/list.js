/**
 * The list of files, of which only those rows exist that can be seen: ten thousand files cost as much as ten. Every row
 * has the same height, so where each one is follows from its number.
 */

import { OPEN, AT_SERVER, TROUBLE } from "./files.js";
import { clearRow, drawRow, newRow } from "./row.js";

const BEYOND = 4; // rows above and below what can be seen

export const FILTERS = {
  all: () => true,
  open: (state) => OPEN.has(state) || AT_SERVER.has(state),
  done: (state) => state === "done",
  trouble: (state) => TROUBLE.has(state),
};

export class List {
  #scroller;
  #rows;
  #files;
  #context;
  #filter = "all";
  #shown = [];
  #nodes = new Map(); // entry -> row
  #spare = [];
  #frame = null;

  constructor(scroller, files, context) {
    this.#scroller = scroller;
    this.#rows = scroller.firstElementChild;
    this.#files = files;
    this.#context = context;
    files.addEventListener("show", () => this.draw());
    scroller.addEventListener("scroll", () => this.draw(), { passive: true });
    new ResizeObserver(() => this.draw()).observe(scroller);
  }

  set filter(name) {
    this.#filter = name;
    this.#scroller.scrollTop = 0;
    this.draw();
  }

  draw() {
    this.#frame ??= requestAnimationFrame(() => {
      this.#frame = null;
      this.#draw();
    });
  }

  #draw() {
    const { entries } = this.#files;
    this.#shown = this.#filter === "all" ? entries : this.#files.where(FILTERS[this.#filter]);
    const height = Number.parseFloat(getComputedStyle(this.#scroller).getPropertyValue("--row")) * this.#rem();
    this.#rows.style.setProperty("height", `${this.#shown.length * height}px`);
    const first = Math.max(0, Math.floor(this.#scroller.scrollTop / height) - BEYOND);
    const last = Math.min(this.#shown.length, first + Math.ceil(this.#scroller.clientHeight / height) + 2 * BEYOND);
    const wanted = new Set(this.#shown.slice(first, last));
    for (const [entry, node] of this.#nodes) {
      // A row with the focus stays as long as its entry is in the list, wherever one scrolls.
      if (wanted.has(entry) || (node.contains(document.activeElement) && this.#shown.includes(entry))) continue;
      if (node.contains(document.activeElement)) this.#scroller.focus();
      this.#nodes.delete(entry);
      clearRow(node);
      node.remove();
      this.#spare.push(node);
    }
    const numbered = this.#shown.slice(first, last).map((entry, at) => [entry, first + at]);
    for (const [entry, index] of numbered) if (this.#nodes.has(entry)) this.#place(this.#nodes.get(entry), index, height);
    for (const [entry, index] of numbered) {
      if (this.#nodes.has(entry)) continue;
      const node = this.#spare.pop() ?? newRow();
      this.#nodes.set(entry, node);
      this.#place(node, index, height);
      // In their order, for keyboard and screen reader; those that are there are not moved, which would lose the focus.
      this.#rows.insertBefore(node, Array.from(this.#rows.children).find((each) => each.index > index) ?? null);
    }
    for (const [entry, node] of this.#nodes) {
      node.setAttribute("aria-setsize", this.#shown.length);
      drawRow(node, entry, this.#context);
    }
    this.#scroller.dataset.empty = this.#shown.length ? "no" : "yes";
  }

  #place(node, index, height) {
    if (node.index === index) return;
    node.index = index;
    node.style.setProperty("transform", `translateY(${index * height}px)`);
    node.setAttribute("aria-posinset", index + 1);
  }

  #rem() {
    return Number.parseFloat(getComputedStyle(document.documentElement).fontSize);
  }
}

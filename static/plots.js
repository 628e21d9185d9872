/** The last five minutes drawn: GET /api/history into the figures of templates/_plots.html, by uPlot. */

import uPlot from "./vendor/uPlot/uPlot.esm.js";
import { FORMATS, setText } from "./format.js";
import { fetchIfChanged } from "./poll.js";

const SPAN_S = 300;
const HEIGHT = 132;
const DASHES = [[], [6, 4], [2, 3], [10, 3, 2, 3]]; // as .line-1 to .line-4 in plots.css: colour is not the only sign
const DROPPED = 3; // a gap of more seconds is drawn as one

const section = document.querySelector("[data-history]");
const history = new Map([["at", []]]); // column -> values, oldest first
const figures = Array.from(section.querySelectorAll("[data-figure]"), (node) => ({
  node,
  kind: FORMATS[node.dataset.kind],
  keys: Array.from(node.querySelectorAll("[data-series]"), (row) => row.dataset.series),
  plot: null,
}));

/** Asks for what is new and draws it. */
export async function updatePlots() {
  const at = history.get("at");
  const told = await fetchIfChanged(`${section.dataset.history}?watch&since=${at.at(-1) ?? 0}`);
  if (!told || told.samples.at.length === 0) return;
  if (at.length && told.samples.at[0] - at.at(-1) > DROPPED) append({ at: [at.at(-1) + 1] }); // others are null: a gap
  append(told.samples);
  const old = history.get("at").findIndex((moment) => moment > history.get("at").at(-1) - SPAN_S);
  for (const values of history.values()) values.splice(0, old);
  figures.forEach(draw);
}

function append(columns) {
  const before = history.get("at").length;
  for (const key of new Set([...history.keys(), ...Object.keys(columns)])) {
    if (!history.has(key)) history.set(key, new Array(before).fill(null));
    history.get(key).push(...(columns[key] ?? new Array(columns.at.length).fill(null)));
  }
}

const columnsOf = (figure) => ["at", ...figure.keys].map((key) => history.get(key));

function draw(figure) {
  figure.plot ??= build(figure);
  figure.plot.setData(columnsOf(figure), false);
  const last = history.get("at").at(-1);
  figure.plot.setScale("x", { min: last - SPAN_S, max: last });
  write(figure);
}

/** The table below: the values at the cursor, or those of now; and the most of all. */
function write(figure) {
  const { node, keys, kind, plot } = figure;
  const index = plot.cursor.idx ?? null;
  const moment = index === null ? null : history.get("at")[index];
  setText(node.querySelector("[data-when]"), moment === null || moment === undefined ? "now" : clock.format(moment * 1000));
  for (const key of keys) {
    const values = history.get(key);
    const row = node.querySelector(`[data-series="${key}"]`);
    const known = values.filter((value) => value !== null);
    setText(row.querySelector("[data-now]"), kind(values.at(index ?? -1) ?? null));
    setText(row.querySelector("[data-most]"), kind(known.length ? Math.max(...known) : null));
  }
}

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const minutes = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });

function build(figure) {
  const target = figure.node.querySelector("[data-plot]");
  const style = getComputedStyle(figure.node);
  const colour = (name) => style.getPropertyValue(name).trim();
  const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: `11px ${colour("--sans")}` };
  const options = {
    width: target.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { sync: { key: "history" }, drag: { x: false, y: false }, points: { size: 6 } },
    scales: { x: { time: true }, y: { range: (_, low, high) => [0, high > 0 ? high * 1.08 : 1] } },
    axes: [
      { ...axis, size: 24, gap: 4, space: 70, values: (_, moments) => moments.map((moment) => minutes.format(moment * 1000)) },
      { ...axis, size: 58, gap: 4, space: 28, values: (_, values) => values.map((value) => figure.kind(value)) },
    ],
    series: [
      {},
      ...figure.keys.map((key, index) => ({
        stroke: colour(`--line-${index + 1}`),
        dash: DASHES[index],
        width: 1.75,
        points: { show: false },
        spanGaps: false,
      })),
    ],
    hooks: { setCursor: [() => figure.plot && write(figure)] },
  };
  target.replaceChildren();
  return new uPlot(options, columnsOf(figure), target);
}

new ResizeObserver(() => {
  for (const { node, plot } of figures) {
    const width = node.querySelector("[data-plot]").clientWidth;
    if (plot && plot.width !== width) plot.setSize({ width, height: HEIGHT });
  }
}).observe(section);

for (const query of ["(prefers-color-scheme: dark)", "(forced-colors: active)"]) {
  matchMedia(query).addEventListener("change", () => {
    for (const figure of figures) {
      figure.plot?.destroy();
      figure.plot = null;
      if (history.get("at").length) draw(figure);
    }
  });
}

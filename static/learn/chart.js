/** A small line chart as SVG: time in seconds from left to right. Lines differ in colour and in dashes. */

const NS = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP] = [460, 248, 48, 24, 42];

const svg = (tag, attributes, text = "") => {
  const node = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.textContent = text;
  return node;
};

/** A round number at or above `value`, for the top of an axis. */
function roof(value) {
  const scale = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return [1, 2, 3, 5, 10].map((step) => step * scale).find((each) => each >= value);
}

/**
 * A figure with `series` of {name, kind ("with" or "without"), points: [[ms, y], ...], end: text or null}. `end` marks
 * the last point: there the line stops for a reason.
 */
export function lineChart(title, unit, series) {
  const figure = Object.assign(document.createElement("figure"), { className: "chart" });
  figure.append(Object.assign(document.createElement("figcaption"), { textContent: `${title} (${unit})` }));
  const points = series.flatMap((each) => each.points);
  const lastMs = Math.max(1000, ...points.map(([ms]) => ms));
  const top = roof(Math.max(1, ...points.map(([, y]) => y)));
  const x = (ms) => LEFT + ((WIDTH - LEFT - 8) * ms) / lastMs;
  const y = (value) => HEIGHT - BOTTOM - ((HEIGHT - BOTTOM - TOP) * value) / top;
  const said = series.map((each) => `${each.name}: ${Math.round(each.points.at(-1)?.[1] ?? 0)} ${unit} at the end${each.end ? `, ${each.end}` : ""}`);
  const root = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${title}. ${said.join(". ")}.` });
  for (const part of [0, 0.5, 1]) {
    root.append(svg("line", { x1: LEFT, x2: WIDTH - 8, y1: y(top * part), y2: y(top * part), class: "chart-grid" }));
    root.append(svg("text", { x: LEFT - 6, y: y(top * part) + 4, class: "chart-text", "text-anchor": "end" }, String(top * part)));
    root.append(svg("text", { x: x(lastMs * part), y: HEIGHT - 6, class: "chart-text", "text-anchor": ["start", "middle", "end"][part * 2] }, `${((lastMs * part) / 1000).toFixed(1)} s`));
  }
  series.forEach((each, index) => {
    if (each.points.length === 0) return;
    root.append(svg("polyline", { points: each.points.map(([ms, value]) => `${x(ms)},${y(value)}`).join(" "), class: `chart-${each.kind}` }));
    if (each.end) {
      const [ms, value] = each.points.at(-1);
      const [cx, cy] = [x(ms), y(value)];
      root.append(svg("path", { d: `M${cx - 5} ${cy - 5}l10 10m0 -10l-10 10`, class: "chart-end" }));
    }
    root.append(svg("line", { x1: LEFT + 12, x2: LEFT + 40, y1: 8 + index * 16, y2: 8 + index * 16, class: `chart-${each.kind}` }));
    root.append(svg("text", { x: LEFT + 46, y: 12 + index * 16, class: "chart-text" }, each.end ? `${each.name} (✕ ${each.end})` : each.name));
  });
  figure.append(root);
  return figure;
}

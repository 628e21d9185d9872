/** The whole run as bands: a row for each thread, time from left to right, a cursor that stands where the replay is. */

const NS = "http://www.w3.org/2000/svg";
const LEFT = 76;
const [NARROWEST, WIDEST] = [320, 640];
let patterns = 0;

const svg = (tag, attributes) => {
  const node = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
};

/** Draws the bands into `figure`; returns a function that moves the cursor to a time. `go(ms)` is called on a click. */
export function drawTimes(figure, frames, endedMs, go) {
  const width = Math.max(NARROWEST, Math.min(WIDEST, figure.clientWidth || WIDEST)); // text keeps its size on a phone
  const names = Object.keys(frames[0].threads).sort((a, b) => a.localeCompare(b, "en", { numeric: true })).slice(0, 40);
  const rowHeight = names.length > 10 ? 11 : 18;
  const height = names.length * rowHeight + 20;
  const end = Math.max(endedMs, 1);
  const x = (ms) => LEFT + ((width - LEFT) * Math.min(ms, end)) / end;
  const pattern = `stripes-${(patterns += 1)}`;
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "times", "aria-hidden": "true", focusable: "false" });
  root.append(stripes(pattern));
  names.forEach((name, row) => {
    const label = svg("text", { x: 0, y: row * rowHeight + (rowHeight > 12 ? 13 : 9), class: rowHeight > 12 ? "times-name" : "times-name times-small" });
    label.textContent = name;
    root.append(label);
    for (const [state, from, to] of bands(frames, name, end)) {
      if (state === "absent" || state === "ended") continue;
      const box = { x: x(from), y: row * rowHeight + 2, width: Math.max(0.6, x(to) - x(from)), height: rowHeight - 4 };
      root.append(svg("rect", { ...box, class: `band band-${state}` }));
      if (state === "blocked") root.append(svg("rect", { ...box, fill: `url(#${pattern})` }));
    }
  });
  for (const part of [0, 0.5, 1]) {
    const tick = svg("text", { x: x(end * part), y: height - 3, class: "times-tick", "text-anchor": part === 0 ? "start" : part === 1 ? "end" : "middle" });
    tick.textContent = `${Math.round(end * part)} ms`;
    root.append(tick);
  }
  const cursor = svg("line", { y1: 0, y2: names.length * rowHeight + 2, class: "times-cursor" });
  root.append(cursor);
  root.addEventListener("click", (event) => {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(root.getScreenCTM().inverse());
    go(Math.max(0, ((point.x - LEFT) / (width - LEFT)) * end));
  });
  figure.querySelector("svg")?.remove();
  figure.append(root);
  return (ms) => {
    cursor.setAttribute("x1", x(ms));
    cursor.setAttribute("x2", x(ms));
  };
}

function* bands(frames, name, end) {
  let from = 0;
  let state = "absent";
  for (const frame of frames) {
    const now = frame.threads[name].state;
    if (now === state) continue;
    if (frame.at_ms > from) yield [state, from, frame.at_ms];
    [state, from] = [now, frame.at_ms];
  }
  yield [state, from, end];
}

function stripes(id) {
  const defs = svg("defs", {});
  const pattern = svg("pattern", { id, width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" });
  pattern.append(svg("rect", { width: 2.5, height: 6, class: "stripe" }));
  defs.append(pattern);
  return defs;
}

/** The same arrivals with and without protection, laid side by side: a table and two charts. */

import { lineChart } from "./chart.js";
import { milliseconds } from "./words.js";

/** Draws the comparison into the stage; returns the summary of both. */
export function compare(root, withProtection, without) {
  const overMs = Math.max(lastDone(withProtection), lastDone(without), 1000);
  const bounded = summary(withProtection, overMs);
  const unbounded = summary(without, overMs);
  root.querySelector("[data-lab-replay]").hidden = false;
  const rows = [
    ["arrived", "arrived", String],
    ["accepted", "accepted", String],
    ["refused, with a reason", "refused", String],
    ["without any answer", "unanswered", String],
    ["done", "done", String],
    ["accepted, and lost", "lost", String],
    ["done per second, over the same time (goodput)", "goodput", (x) => x.toFixed(1)],
    ["half of those accepted were done within", "p50", ms],
    ["99 % of those accepted were done within", "p99", ms],
    ["most memory", "memory", (x) => (x ? `${Math.round(x / 1e6)}\u00a0MB` : "–")],
  ];
  root.querySelector("[data-versus]").replaceChildren(
    ...rows.map(([label, key, text]) => {
      const row = document.createElement("tr");
      row.append(Object.assign(document.createElement("th"), { scope: "row", textContent: label }));
      for (const each of [bounded, unbounded]) row.insertCell().textContent = text(each[key]);
      return row;
    }),
  );
  const killed = without.died_ms === null ? null : "killed for its memory";
  const series = (pick) => [
    { name: "with protection", kind: "with", points: pick(withProtection), end: null },
    { name: "without", kind: "without", points: pick(without), end: killed },
  ];
  root.querySelector("[data-charts]").replaceChildren(lineChart("Photos done", "photos", series(done)), lineChart("Memory", "MB", series(memory)));
  return { bounded, unbounded };
}

const ms = (x) => (x === null ? "–" : x === Infinity ? "never" : milliseconds(x));

const lastDone = ({ arrivals }) => Math.max(0, ...arrivals.map((each) => (each.status === 202 && each.done_ms) || 0));

/**
 * A photo counts for what was promised: without an answer 202 nobody knows of it, even if it was made; one that was
 * accepted and lost is done never. Both servers are measured over the same time: being dead early is no speed.
 */
function summary({ arrivals, samples }, overMs) {
  const accepted = arrivals.filter((each) => each.status === 202);
  const finished = accepted.filter((each) => each.done_ms !== null);
  const waits = accepted.map((each) => (each.done_ms === null ? Infinity : each.done_ms - each.at_ms)).sort((a, b) => a - b);
  const at = (share) => (waits.length ? waits[Math.min(waits.length - 1, Math.floor(share * waits.length))] : null);
  return {
    arrived: arrivals.length,
    accepted: accepted.length,
    refused: arrivals.filter((each) => each.status !== null && each.status !== 202).length,
    unanswered: arrivals.filter((each) => each.status === null).length,
    done: finished.length,
    lost: accepted.length - finished.length,
    goodput: (finished.length / overMs) * 1000,
    p50: at(0.5),
    p99: at(0.99),
    memory: Math.max(0, ...samples.map((each) => each.memory_bytes ?? 0)),
  };
}

function done({ arrivals, died_ms: died }) {
  const moments = arrivals.filter((each) => each.status === 202 && each.done_ms !== null).map((each) => each.done_ms).sort((a, b) => a - b);
  const points = [[0, 0], ...moments.map((moment, index) => [moment, index + 1])];
  if (died !== undefined && died !== null) points.push([died, moments.length]);
  return points;
}

const memory = ({ samples }) => samples.filter((each) => each.memory_bytes).map((each) => [each.at_ms, each.memory_bytes / 1e6]);

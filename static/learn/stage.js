/** One stage of the essay: the question, the sliders, the run, what came of it, and the replay. */

import { setText } from "../format.js";
import { run } from "./lab.js";
import { keep } from "./mine.js";
import { answers, verdictOf } from "./predictions.js";
import { Replay } from "./replay.js";
import { milliseconds } from "./words.js";

export function startForm(root, submitted) {
  const form = root.querySelector("[data-lab-form]");
  form.hidden = false;
  root.querySelector("[data-needs-javascript]").hidden = true;
  const tell = (text, wrong = false) => {
    const line = root.querySelector("[data-lab-line]");
    setText(line, text);
    line.dataset.wrong = wrong ? "yes" : "no";
  };
  for (const slider of form.querySelectorAll(".lab-control input[type=range]")) {
    const output = slider.parentElement.querySelector("output");
    slider.addEventListener("input", () => setText(output, `${slider.value}${output.dataset.unit ? ` ${output.dataset.unit}` : ""}`));
    slider.dispatchEvent(new Event("input")); // the browser may have kept another value than the page's
  }
  form.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.target.type !== "range") return;
    event.preventDefault(); // Chromium sends the form from a slider by itself, Firefox does not
    form.requestSubmit();
  });
  const button = form.querySelector("button[type=submit]");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (button.getAttribute("aria-disabled") === "true") return;
    button.setAttribute("aria-disabled", "true"); // not `disabled`: the button would lose the focus, and who has only a keyboard their place
    try {
      await submitted(new FormData(form), tell);
    } catch (error) {
      tell(error instanceof TypeError ? "The server does not answer: try again in a moment." : error.message, true);
    } finally {
      button.setAttribute("aria-disabled", "false");
    }
  });
}

/** The guess in a form whose stage has this name, or null. */
export const guessOf = (data) => [...data.keys()].filter((key) => key.endsWith("-guess")).map((key) => data.get(key))[0] ?? null;

/** Shows whether the guess was right; and, after a deadlock, what the pool said about it, word for word. */
export function showVerdict(root, verdict, diagnosis = null) {
  const node = root.querySelector("[data-lab-verdict]");
  node.dataset.right = verdict.right === null ? "none" : verdict.right ? "yes" : "no";
  node.hidden = false;
  node.replaceChildren(verdict.text);
  if (diagnosis) node.append(Object.assign(document.createElement("span"), { className: "diagnosis", textContent: `DeadlockError: ${diagnosis.text}` }));
}

/** Makes a stage of the page live. */
export function startStage(root) {
  const replay = new Replay(root);
  const fixed = JSON.parse(root.dataset.fixed);
  const question = root.querySelector("[data-question]").dataset.question;
  const idea = root.closest(".idea").querySelector("h2").textContent.replace(/^\s*\d+\s*/, "").trim();
  startForm(root, async (data, tell) => {
    const experiment = experimentOf(fixed, data);
    const trace = await run(experiment, tell);
    replay.load(trace);
    const verdict = verdictOf(guessOf(data), answers[question](trace));
    showVerdict(root, verdict, trace.diagnosis);
    drawFigures(root.querySelector("[data-lab-figures]"), trace);
    addTry(root, trace);
    keep({ idea, ran: ranOf(experiment), out: outOf(trace), right: verdict.right });
  });
}

function experimentOf(fixed, data) {
  const experiment = { ...fixed };
  for (const [name, value] of data) {
    if (name.endsWith("-guess")) continue;
    if (name === "pool") experiment.program = value === "none" ? "no_pool" : "by_hand";
    else if (name === "policy" && value === "none") experiment.program = "no_pool";
    else if (name === "close") experiment.close = value === "true";
    else experiment[name] = /^\d+$/.test(value) ? Number(value) : value;
  }
  return experiment;
}

const LABELS = { workers: "workers", jobs: "jobs", jobs_buffer: "places", length_ms: "ms a job", gap_ms: "ms apart", deadline_ms: "ms deadline" };

function ranOf(experiment) {
  const numbers = Object.entries(LABELS).filter(([name]) => experiment[name] !== undefined && (name !== "workers" || experiment.program !== "no_pool"));
  const words = numbers.map(([name, label]) => `${experiment[name]} ${label}`);
  if (experiment.program === "no_pool") words.unshift("no pool");
  if (experiment.policy) words.push(experiment.policy.replace("_", " "));
  if (experiment.kind) words.push(experiment.kind);
  return words.join(", ");
}

function outOf({ ended, figures, diagnosis }) {
  if (ended === "deadlock") return `deadlock: ${diagnosis.mistake}`;
  const lost = [figures.refused && `${figures.refused} refused`, figures.dropped && `${figures.dropped} dropped`].filter(Boolean);
  return [`${figures.jobs_done} done in ${milliseconds(figures.ended_ms)}`, ...lost].join(", ");
}

function drawFigures(list, { figures, ended }) {
  const rows = [
    [ended === "deadlock" ? "stood still after" : "took", milliseconds(figures.ended_ms)],
    ["jobs done", `${figures.jobs_done} (${figures.jobs_per_s} a second)`],
    ["worked on at once, at the most", String(figures.most_working)],
    ["memory, the whole process", `${Math.round(figures.memory_bytes / 1e6)}\u00a0MB`],
  ];
  if (figures.refused) rows.push(["refused", String(figures.refused)]);
  if (figures.dropped) rows.push(["dropped", String(figures.dropped)]);
  const blocked = Object.entries(figures.threads).filter(([, each]) => each.blocked_ms >= 1);
  for (const [who, each] of blocked.slice(0, 8)) rows.push([`${who} stood blocked`, milliseconds(each.blocked_ms)]);
  list.replaceChildren(
    ...rows.map(([name, value]) => {
      const pair = document.createElement("div");
      pair.append(Object.assign(document.createElement("dt"), { textContent: name }), Object.assign(document.createElement("dd"), { textContent: value }));
      return pair;
    }),
  );
}

/** The table below some stages, in which the learner's runs stand one under the other. */
function addTry(root, { experiment, figures, ended }) {
  const table = root.parentElement.querySelector("[data-tries]");
  if (!table || ended === "deadlock") return;
  table.hidden = false;
  const cells =
    table.tHead.rows[0].cells[0].textContent === "places"
      ? [experiment.jobs_buffer, milliseconds(figures.threads.producer?.blocked_ms ?? 0), milliseconds(figures.ended_ms)]
      : [experiment.workers, experiment.kind, milliseconds(figures.ended_ms)];
  const row = table.tBodies[0].insertRow();
  for (const cell of cells) row.insertCell().textContent = cell;
}

/** The number of workers, measured: the same jobs with 1, 2, 4 and 8, one run of the lab after the other. */

import { setText } from "../format.js";
import { run } from "./lab.js";
import { keep } from "./mine.js";
import { verdictOf } from "./predictions.js";
import { guessOf, showVerdict, startForm } from "./stage.js";

const WORKERS = [1, 2, 4, 8];
const JOBS = { program: "by_hand", jobs: 16, jobs_buffer: 10, results_buffer: 10, length_ms: 100 };

export function startSweep(root) {
  startForm(root, async (data, tell) => {
    const kind = data.get("kind");
    const rows = [];
    for (const workers of WORKERS) {
      const { figures } = await run({ ...JOBS, kind, workers }, (text) => tell(text && `${workers} workers: ${text}`));
      rows.push({ workers, rate: figures.jobs_per_s, memory: figures.memory_bytes });
      draw(root, rows);
    }
    const times = rows.at(-1).rate / rows[0].rate;
    const answer = times < 1.5 ? "1" : times <= 4 ? "2" : "8";
    const verdict = verdictOf(guessOf(data), { answer, because: `8 workers were ${times.toFixed(1)} times as fast as 1.` });
    showVerdict(root, verdict);
    setText(root.querySelector("[data-sweep-advice]"), advice(rows));
    keep({ idea: "How many workers", ran: `${JOBS.jobs} jobs, ${kind}`, out: rows.map((row) => `${row.workers}: ${row.rate}/s`).join(", "), right: verdict.right });
  });
}

/** The fewest workers that come within a tenth of the best rate: more of them cost memory and gain nothing. */
function advice(rows) {
  const best = Math.max(...rows.map((row) => row.rate));
  const chosen = rows.find((row) => row.rate >= 0.9 * best);
  const next = rows[rows.indexOf(chosen) + 1];
  const more = next ? ` ${next.workers} did not do a tenth more, and every worker holds a job's worth of memory.` : " Even more might do more.";
  return `For this work, on this machine, now: ${chosen.workers} ${chosen.workers === 1 ? "worker" : "workers"}.${more}`;
}

function draw(root, rows) {
  root.querySelector("[data-lab-replay]").hidden = false;
  const best = Math.max(...rows.map((row) => row.rate));
  root.querySelector("[data-sweep-rows]").replaceChildren(
    ...rows.map((row) => {
      const line = document.createElement("tr");
      const name = Object.assign(document.createElement("th"), { scope: "row", textContent: row.workers });
      const bar = document.createElement("td");
      bar.className = "sweep-bar";
      const meter = Object.assign(document.createElement("i"), { className: "sweep-fill" });
      meter.style.inlineSize = `${(100 * row.rate) / best}%`;
      bar.append(meter);
      line.append(name, cell(row.rate.toFixed(1)), bar, cell(`${Math.round(row.memory / 1e6)}\u00a0MB`));
      return line;
    }),
  );
}

const cell = (text) => Object.assign(document.createElement("td"), { textContent: text });

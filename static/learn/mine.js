/** The learner's own runs: kept in this browser, and shown at the end of the essay. */

const KEY = "imgpool-learn";
const MOST = 60;

const read = () => {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY));
    return Array.isArray(kept) ? kept : [];
  } catch {
    return [];
  }
};

/** Keeps a run: which idea it belongs to, what was run, what came out, and whether the guess was right (or null). */
export function keep(entry) {
  try {
    localStorage.setItem(KEY, JSON.stringify([...read(), entry].slice(-MOST)));
  } catch {
    // A browser that keeps nothing: the page works, only its end stays empty.
  }
  drawMine();
}

export function drawMine() {
  const table = document.querySelector("[data-mine]");
  const kept = read();
  table.hidden = kept.length === 0;
  document.querySelector("[data-mine-buttons]").hidden = kept.length === 0;
  document.querySelector("[data-mine-none]").hidden = kept.length > 0;
  table.tBodies[0].replaceChildren(...kept.map(row));
}

function row({ idea, ran, out, right }) {
  const line = document.createElement("tr");
  const guess = right === null ? "–" : right ? "✓ right" : "✗ not quite";
  [idea, ran, out, guess].forEach((text, index) => {
    const cell = document.createElement(index === 0 ? "th" : "td");
    if (index === 0) cell.scope = "row";
    cell.textContent = text;
    line.append(cell);
  });
  return line;
}

export function startMine() {
  document.querySelector("[data-forget]").addEventListener("click", () => {
    localStorage.removeItem(KEY);
    drawMine();
  });
  document.querySelector("[data-print]").addEventListener("click", () => print());
  drawMine();
}

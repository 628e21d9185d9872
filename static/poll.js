/** Asking the server again and again, with care: only while somebody looks, and less often when it does not answer. */

const LONGEST_PAUSE_MS = 15_000;
const ANSWER_TIMEOUT_MS = 10_000;

export class SignedOut extends Error {}
export class Gone extends Error {}

// A page that is left may be kept as it is, for the way back. What it asks then gets no answer in Firefox, ever.
let away = false;
const asked = new Set(); // what may still be without an answer
window.addEventListener("pagehide", () => {
  away = true;
  for (const question of asked) question.abort();
  asked.clear();
});
window.addEventListener("pageshow", () => (away = false));

/** Ends a question that takes too long, or when the page is left: then with an AbortError. */
export function patience() {
  const question = new AbortController(); // AbortSignal.any() is of 2024, and this is not
  asked.add(question);
  setTimeout(() => {
    asked.delete(question);
    question.abort(new DOMException("No answer in time.", "TimeoutError")); // of one that was answered nobody hears it
  }, ANSWER_TIMEOUT_MS);
  return question.signal;
}

const seen = new Map(); // address -> ETag of the answer that was returned last

/** The JSON at an address, or null when it is the same as the last time, unless `always`. Throws without a good answer. */
export async function fetchIfChanged(address, { always = false } = {}) {
  const response = await fetch(address, {
    cache: "no-cache", // keep a copy, but ask by its ETag whether it still holds
    headers: { Accept: "application/json" },
    signal: patience(),
  });
  if (response.status === 401 || response.status === 403) throw new SignedOut();
  if (response.status === 404) throw new Gone(`${address}: 404`);
  if (!response.ok) throw new Error(`${address}: ${response.status}`);
  const body = await response.json();
  if (always) return body;
  const tag = response.headers.get("ETag");
  if (tag !== null && seen.get(address) === tag) return null;
  seen.set(address, tag);
  return body;
}

/**
 * Runs `task` every `pauseMs` while the page is visible, and every `hiddenPauseMs`, if that is given, while it is not;
 * not while it is left, and at once when somebody comes back to it.
 * `onTrouble(error)` is told of each failure and `onTrouble(null)` of each success. Ends for good when `task` throws
 * SignedOut. Returns a function that has it run at once, or once more when it runs already: never two at a time, whose
 * answers could cross.
 */
export function watch(task, { pauseMs, onTrouble, hiddenPauseMs = null }) {
  let failures = 0;
  let timer = null;
  let running = false;
  let again = false;
  let over = false;

  const pause = () => (away ? null : document.hidden ? hiddenPauseMs : pauseMs);

  async function run() {
    timer = null;
    if (running) again = true;
    if (running || over || pause() === null) return;
    running = true;
    again = false;
    try {
      await task();
      failures = 0;
      onTrouble(null);
    } catch (error) {
      if (error.name !== "AbortError") {
        failures += 1;
        over = error instanceof SignedOut;
        onTrouble(error);
      }
    } finally {
      running = false;
    }
    if (over || pause() === null) return;
    if (again) return run();
    // Spread, so that everybody who lost the server does not come back in the same moment.
    const backOff = Math.min(LONGEST_PAUSE_MS, pause() * 2 ** failures) * (0.75 + Math.random() / 2);
    timer = setTimeout(run, failures ? backOff : pause());
  }

  const runNow = () => {
    if (timer !== null) clearTimeout(timer);
    run();
  };
  document.addEventListener("visibilitychange", runNow);
  window.addEventListener("online", runNow);
  window.addEventListener("pageshow", (event) => event.persisted && runNow());
  timer = setTimeout(run, pauseMs);
  return runNow;
}

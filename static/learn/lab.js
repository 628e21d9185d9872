/** Asking the lab for a run, and waiting for it in the line. */

import { SignedOut } from "../poll.js";

const PAUSE_MS = 250;
const FAR_MS = 1000; // with others before it nothing happens at once, and a class has many who ask
const ADDRESSES = document.querySelector("[data-essay]").dataset;

/**
 * Has an experiment run and returns its trace. `tell(text)` is told how it stands meanwhile. Throws an Error whose
 * message is for the reader.
 */
export const run = (experiment, tell) => ask(ADDRESSES.runs, experiment, tell);

/** The same for a flood of the server without protection. */
export const flood = (wanted, tell) => ask(ADDRESSES.floods, wanted, tell);

async function ask(address, body, tell) {
  tell("Asking the lab …");
  let seen = await answer(
    await fetch(address, { method: "POST", headers: { "Content-Type": "application/json", Accept: "application/json" }, body: JSON.stringify(body) }),
  );
  while (seen.state === "waiting" || seen.state === "running") {
    tell(seen.state === "running" ? "Running …" : seen.place === 1 ? "You are next in the line." : `You are number ${seen.place} in the line.`);
    await new Promise((wake) => setTimeout(wake, seen.place > 1 ? FAR_MS : PAUSE_MS));
    seen = await answer(await fetch(`${address.replace(/\w+$/, "runs")}/${seen.id}`, { headers: { Accept: "application/json" } }));
  }
  if (seen.state === "failed") throw new Error(seen.error);
  tell("");
  return seen.result;
}

async function answer(response) {
  if (response.status === 401 || response.status === 403) throw new SignedOut("You may not use the lab: sign in first.");
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.detail ?? `The server answered ${response.status}: try again in a moment.`);
  return body;
}

/**
 * Overload, live. The clicks and the flood go to the real service, as real uploads of a sample photo; then the lab sends
 * the same arrivals, at the same moments, to a server without protection, and both are laid side by side.
 */

import { setText } from "../format.js";
import { fetchIfChanged, watch } from "../poll.js";
import { drawStatus } from "../pool.js";
import { flood as floodWithout } from "./lab.js";
import { keep } from "./mine.js";
import { verdictOf } from "./predictions.js";
import { guessOf, showVerdict, startForm } from "./stage.js";
import { compare } from "./versus.js";

const EVERY_MS = 12;
const BEYOND = 60; // how many more photos than there are places
const MOST = 220;
const LOOK_MS = 250;
const LAST_MS = 20_000; // the lab takes no later arrival; a flood that slow is none
const SETTLE_MS = 60_000;

const pause = (ms) => new Promise((wake) => setTimeout(wake, ms));

export function startFlood(root) {
  const { status, upload, sample, metrics } = root.dataset;
  const left = []; // IDs of what was sent from here, and is there still
  const remove = root.querySelector("[data-flood-remove]");
  const one = root.querySelector("[data-flood-one]");
  let photo = null;
  let capacity = 0;
  let calls = 0;

  const look = async () => {
    const now = await fetchIfChanged(status);
    if (!now) return;
    capacity = now.pool.queue.capacity;
    drawStatus(now, () => "photo");
  };

  async function send(name) {
    photo ??= await (await fetch(sample)).blob();
    const response = await fetch(`${upload}?name=${name}.avif`, { method: "POST", headers: { "Content-Type": "image/avif", Accept: "application/json" }, body: photo });
    const body = await response.json().catch(() => ({}));
    const id = response.status === 202 ? body.images[0].id : null;
    if (id) left.push(id);
    remove.hidden = left.length === 0;
    return { status: response.status, id, detail: body.detail };
  }

  one.addEventListener("click", async () => {
    const tell = (text) => setText(root.querySelector("[data-lab-line]"), text);
    one.disabled = true;
    const answer = await send(`photo-${(calls += 1)}`).catch(() => null);
    one.disabled = false;
    if (answer === null) return tell("The server does not answer: try again in a moment.");
    tell(answer.id ? "Accepted: it has a place in the queue." : `Refused: ${answer.detail ?? answer.status}`);
    await look().catch(() => {});
  });

  remove.addEventListener("click", async () => {
    remove.disabled = true;
    for (const id of left.splice(0)) await fetch(`${upload}/${id}`, { method: "DELETE" }).catch(() => {});
    remove.disabled = false;
    remove.hidden = left.length > 0;
    setText(root.querySelector("[data-lab-line]"), "Deleted.");
    await look().catch(() => {});
  });

  startForm(root, async (data, tell) => {
    await look();
    await fetch(sample).then(async (response) => (photo = await response.blob())); // not part of what is measured
    const count = Math.min(MOST, capacity + BEYOND);
    const withProtection = await floodService(count, tell);
    const without = await floodWithout({ double: "thread_per_upload", arrivals_ms: withProtection.arrivals.map((each) => Math.min(LAST_MS, each.at_ms)) }, (text) => tell(text && `The same without protection: ${text}`));
    const { bounded, unbounded } = compare(root, withProtection, without);
    const verdict = verdictOf(guessOf(data), {
      answer: bounded.done >= unbounded.done ? "bounded" : "unbounded",
      because: `Of ${count} photos, imgpool accepted ${bounded.accepted} and made ${bounded.done}; it refused ${bounded.refused}. Without protection ${unbounded.accepted} were accepted and ${unbounded.done} made${without.died_ms === null ? "" : `: it was killed for its memory after ${(without.died_ms / 1000).toFixed(1)} s`}.`,
    });
    showVerdict(root, verdict);
    keep({ idea: "Overload, live", ran: `${count} photos in ${((count * EVERY_MS) / 1000).toFixed(1)} s`, out: `imgpool ${bounded.done} done, ${bounded.refused} refused; without protection ${unbounded.done} done`, right: verdict.right });
  });

  /** Sends `count` photos, one every EVERY_MS, none waiting for the one before; follows each to its end. */
  async function floodService(count, tell) {
    const marks = root.querySelector("[data-flood-marks]");
    marks.replaceChildren(...Array.from({ length: count }, () => document.createElement("li")));
    const began = performance.now();
    const sinceMs = () => Math.round(performance.now() - began);
    const samples = [];
    let over = false;
    const watching = (async () => {
      while (!over) {
        await Promise.all([look(), memory().then((bytes) => samples.push({ at_ms: sinceMs(), memory_bytes: bytes }))]).catch(() => {});
        await pause(LOOK_MS);
      }
    })();
    async function memory() {
      const text = await (await fetch(metrics)).text();
      const found = /^imgpool_memory_bytes ([\d.e+]+)$/m.exec(text);
      return found ? Number(found[1]) : null;
    }
    async function arrive(index) {
      const arrival = { at_ms: index * EVERY_MS, answered_ms: null, status: null, id: null, done_ms: null };
      const answer = await send(`flood-${index + 1}`).catch(() => null);
      // A browser sends six at a time, so this is when it really got through; the other server gets it then, too.
      arrival.at_ms = arrival.answered_ms = sinceMs();
      if (answer) Object.assign(arrival, { status: answer.status, id: answer.id });
      marks.children[index].dataset.was = answer === null ? "failed" : answer.id ? "accepted" : "refused";
      return arrival;
    }
    const sent = [];
    for (let index = 0; index < count; index += 1) {
      await pause(Math.max(0, began + index * EVERY_MS - performance.now()));
      sent.push(arrive(index));
      if (index % 10 === 0) tell(`Sending ${count} photos: ${index + 1} …`);
    }
    const arrivals = await Promise.all(sent);
    tell("All sent. Waiting until the queue is empty again …");
    await settle(arrivals, marks, sinceMs);
    over = true;
    await watching;
    await look().catch(() => {});
    return { arrivals, samples };
  }

  /** Waits until each accepted photo has ended; takes the moment from the service's own record of it. */
  async function settle(arrivals, marks, sinceMs) {
    const open = new Map(arrivals.map((arrival, index) => [arrival.id, { arrival, mark: marks.children[index] }]).filter(([id]) => id));
    while (open.size && sinceMs() < SETTLE_MS) {
      let cursor = "";
      do {
        const page = await (await fetch(`${upload}?limit=200${cursor && `&cursor=${cursor}`}`)).json();
        for (const image of page.images) {
          const found = open.get(image.id);
          if (!found || !image.finished_at) continue;
          const tookMs = new Date(image.finished_at) - new Date(image.received_at);
          found.mark.dataset.was = image.state;
          if (image.state === "done") found.arrival.done_ms = found.arrival.answered_ms + tookMs;
          open.delete(image.id);
        }
        cursor = open.size && page.images.length && page.images.some((image) => open.has(image.id)) ? page.next : null;
      } while (cursor);
      await pause(LOOK_MS);
    }
  }

  // Only while somebody looks at it: the page is long, and a class has many pages open.
  let seen = false;
  new IntersectionObserver((entries) => (seen = entries.at(-1).isIntersecting)).observe(root);
  watch(async () => seen && (await look()), { pauseMs: 1000, onTrouble: () => {} });
}

/** Asks the server, in batches, what became of the images that it has accepted from this page. */

import { patience, watch } from "../poll.js";
import { AT_SERVER } from "./files.js";

const PAUSE_MS = 1000;
const BATCH = 100; // as MAX_IDS of the API

export function follow(files, address) {
  const ask = async (entries) => {
    const ids = entries.map((entry) => entry.id);
    const response = await fetch(`${address}?ids=${ids.join(",")}`, {
      headers: { Accept: "application/json" },
      signal: patience(),
    });
    if (!response.ok) throw new Error(`${response.status}`);
    const images = new Map((await response.json()).images.map((image) => [image.id, image]));
    for (const entry of entries) {
      const image = images.get(entry.id);
      if (!image) files.change(entry, { state: "failed", reason: "It was deleted on the server." });
      else if (image.state !== entry.state || image.place !== entry.place || !entry.image) {
        files.change(entry, { state: image.state, place: image.place, image, reason: image.error });
      }
    }
  };
  const task = async () => {
    const followed = files.where((state) => AT_SERVER.has(state));
    // What was restored as done has no picture yet.
    followed.push(...files.entries.filter((entry) => entry.state === "done" && !entry.image));
    for (let start = 0; start < followed.length; start += BATCH) await ask(followed.slice(start, start + BATCH));
  };
  // In the background, too: the title says how far it is.
  watch(task, { pauseMs: PAUSE_MS, onTrouble: () => {}, hiddenPauseMs: PAUSE_MS });
}

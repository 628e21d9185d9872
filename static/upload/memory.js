/**
 * What a page has given to the server is remembered in this browser, for when it comes back: names and states, not the
 * bytes. A browser lets no page keep a file, so what was not sent whole has to be chosen again, and then goes on.
 */

const PREFIX = "imgpool.uploads.";
const PAUSE_MS = 2000;
const ANSWER_MS = 150; // how long other tabs have to say that they live
const KEPT = ["path", "name", "size", "modified", "state", "address", "id"];

const newName = () => Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16)).join("");

/** Which of these tabs are open now. */
async function living(channel) {
  const found = new Set();
  channel.onmessage = ({ data }) => data.here && found.add(data.here);
  channel.postMessage({ who: true });
  await new Promise((resolve) => setTimeout(resolve, ANSWER_MS));
  return found;
}

function read(key) {
  try {
    return JSON.parse(localStorage.getItem(key)) ?? [];
  } catch {
    return [];
  }
}

/** Fills `files` with what this browser's closed tabs left, and remembers them from then on. */
export async function remember(files) {
  let mine = sessionStorage.getItem(PREFIX) ?? newName();
  const channel = new BroadcastChannel(PREFIX);
  const open = await living(channel);
  // This tab is a copy of another one, or was closed and opened again, and another one goes on with its list.
  if (open.has(mine) || localStorage.getItem(PREFIX + mine) === null) mine = newName();
  sessionStorage.setItem(PREFIX, mine);

  const left = Object.keys(localStorage).filter((key) => key.startsWith(PREFIX) && !open.has(key.slice(PREFIX.length)));
  const taken = new Map(); // of tabs that seemed closed: what was remembered, and the entries that are here now
  for (const key of left) taken.set(key, { text: localStorage.getItem(key), entries: files.restore(read(key).map(restored)) });
  taken.delete(PREFIX + mine);
  for (const key of taken.keys()) localStorage.removeItem(key);

  /** That tab lives, and had too much to do to say so in time. What was chosen again here stays. */
  function giveBack(key) {
    const { text, entries } = taken.get(key);
    taken.delete(key);
    if (localStorage.getItem(key) === null) localStorage.setItem(key, text);
    files.remove(entries.filter((entry) => entry.file === null && files.entries.includes(entry)));
  }
  channel.onmessage = ({ data }) => {
    if (data.who) channel.postMessage({ here: mine });
    else if (taken.has(PREFIX + data.here)) giveBack(PREFIX + data.here);
  };

  let saved = null;
  let timer = null;
  const save = () => {
    clearTimeout(timer);
    timer = null;
    const kept = files.entries.map((entry) => Object.fromEntries(KEPT.map((name) => [name, entry[name]])));
    const text = JSON.stringify(kept);
    if (text === saved) return;
    saved = text;
    try {
      if (kept.length) localStorage.setItem(PREFIX + mine, text);
      else localStorage.removeItem(PREFIX + mine);
    } catch {
      // The browser keeps no more: coming back shows less.
    }
  };
  files.addEventListener("change", () => (timer ??= setTimeout(save, PAUSE_MS)));
  window.addEventListener("pagehide", save);
  save();
}

/** What was on its way when the page was left has no file any more. */
function restored(entry) {
  const atServer = ["queued", "processing", "done", "failed"].includes(entry.state) && entry.id;
  if (atServer) return { ...entry, state: entry.state === "failed" ? "queued" : entry.state };
  if (entry.state === "refused") return { ...entry, reason: "The server refused this file before the page was left." };
  return { ...entry, state: "lost" };
}

/**
 * What the person has given to this page: one entry a file, its state, and how many there are of each. Tells of it by two
 * events: "change" at once when a state is another one, "show" for whoever draws, at most five times a second. Each drawing
 * leaves garbage, and at sixty a second a thousand files would cost the tab a hundred megabytes more.
 */

/** In this tab: waiting, sending, paused, lost (its file has to be chosen again), refused. At the server: the rest. */
export const STATES = ["waiting", "sending", "paused", "lost", "refused", "queued", "processing", "done", "failed"];
export const OPEN = new Set(["waiting", "sending", "paused"]);
export const AT_SERVER = new Set(["queued", "processing"]);
export const TROUBLE = new Set(["refused", "failed", "lost"]);

const SHOW_MS = 200;

const keyOf = (each) => `${each.path}/${each.size}/${each.modified}`;

export class Files extends EventTarget {
  entries = [];
  counts = Object.fromEntries(STATES.map((state) => [state, 0]));
  bytes = 0; // of all entries
  sent = 0; // of those bytes, how many the server has
  #known = new Map();
  #told = false;
  #showing = null;
  #shownAt = Number.NEGATIVE_INFINITY;

  /** Adds File objects; one that is in the list already is added only when it was lost. Returns how many were new. */
  add(files) {
    let added = 0;
    for (const file of files) {
      const path = file.pathInFolder || file.webkitRelativePath || file.name;
      const fresh = { path, size: file.size, modified: file.lastModified };
      const known = this.#known.get(keyOf(fresh));
      if (known?.state === "lost") {
        known.file = file;
        this.change(known, { state: "waiting", reason: null });
        added += 1;
      } else if (!known) {
        this.#enter({ ...fresh, file, name: file.name, state: "waiting" });
        added += 1;
      }
    }
    this.#tell();
    return added;
  }

  /** Takes up what an earlier visit left: entries without their files. Returns those that were new. */
  restore(remembered) {
    const fresh = remembered.filter((each) => !this.#known.has(keyOf(each)));
    this.#tell();
    return fresh.map((each) => this.#enter({ file: null, ...each }));
  }

  #enter(given) {
    const entry = {
      address: null, // of the upload, once it has begun
      image: null, // what the API says of it
      sent: given.state === "waiting" || given.state === "lost" ? 0 : given.size,
      rate: null, // bytes a second
      reason: null, // a sentence
      place: null, // in the server's queue
      ...given,
    };
    this.entries.push(entry);
    this.#known.set(keyOf(entry), entry);
    this.counts[entry.state] += 1;
    this.bytes += entry.size;
    this.sent += entry.sent;
    return entry;
  }

  /** Does nothing to an entry that was removed while somebody waited for what is to be changed. */
  change(entry, what) {
    if (this.#known.get(keyOf(entry)) !== entry) return;
    if (what.state && what.state !== entry.state) {
      this.counts[entry.state] -= 1;
      this.counts[what.state] += 1;
    }
    if (what.sent !== undefined) this.sent += what.sent - entry.sent;
    Object.assign(entry, what);
    if (what.state) this.#tell();
    else this.#show();
  }

  remove(unwanted) {
    const gone = new Set(unwanted);
    for (const entry of gone) {
      this.counts[entry.state] -= 1;
      this.bytes -= entry.size;
      this.sent -= entry.sent;
      this.#known.delete(keyOf(entry));
    }
    this.entries = this.entries.filter((entry) => !gone.has(entry));
    this.#tell();
  }

  where(test) {
    return this.entries.filter((entry) => test(entry.state));
  }

  total(states) {
    let sum = 0;
    for (const state of states) sum += this.counts[state];
    return sum;
  }

  /** However much changes at once, it is told once, and after it. */
  #tell() {
    if (this.#told) return;
    this.#told = true;
    queueMicrotask(() => {
      this.#told = false;
      this.dispatchEvent(new Event("change"));
      this.#show();
    });
  }

  #show() {
    this.#showing ??= setTimeout(() => {
      this.#showing = null;
      this.#shownAt = performance.now();
      this.dispatchEvent(new Event("show"));
    }, Math.max(0, this.#shownAt + SHOW_MS - performance.now()));
  }
}

/**
 * The producer: takes waiting files one after the other, a few at a time, asks the server for a slot, then sends the
 * bytes. When there is no slot it waits as long as the server says. Nothing here needs a person.
 */

import "../vendor/tus-js-client/tus.min.js";
import { Door } from "./door.js";
import { wordOf } from "./words.js";

const AT_ONCE = 3;
const RATE_OVER_MS = 2000;
const RESUMABLE = new Set([400, 408, 409, 423, 460]); // it broke off on its way: go on from where the server is

export class Sender {
  door = new Door(() => this.run());
  signedOut = false;
  #files;
  #endpoint;
  #uploads = new Map(); // entry -> tus.Upload
  #troubles = new Map(); // entry -> how often it broke off without getting further

  constructor(files, endpoint) {
    this.#files = files;
    this.#endpoint = endpoint;
    files.addEventListener("change", () => this.run());
    window.addEventListener("online", () => this.door.tryNow());
  }

  run() {
    if (this.signedOut || this.#files.counts.waiting === 0) return;
    for (const entry of this.#files.entries) {
      if (this.#uploads.size >= AT_ONCE || !this.door.letsAsk) return;
      if (entry.state === "waiting" && entry.file) this.#start(entry);
    }
  }

  pause(entry) {
    this.#stop(entry);
    this.#files.change(entry, { state: "paused", rate: null });
  }

  /** Not wanted any more: what the server has of it goes, too. */
  cancel(entry) {
    this.#stop(entry);
    // Should this get lost, the server forgets the upload by itself after a while.
    if (entry.address) window.tus.Upload.terminate(entry.address, { retryDelays: null }).catch(() => {});
  }

  #stop(entry) {
    const upload = this.#uploads.get(entry);
    if (!upload) return;
    this.#uploads.delete(entry);
    // One that is being created may have got a slot: its address is awaited, or that could not be given back.
    if (upload.url || upload.resumes) upload.abort();
    this.door.leave(upload.number);
  }

  #start(entry) {
    this.#files.change(entry, { state: "sending", reason: null });
    const clock = { at: performance.now(), sent: entry.sent };
    const upload = new window.tus.Upload(entry.file, {
      // With an address and no endpoint, the library never begins a second upload of the same file by itself.
      ...(entry.address ? { uploadUrl: entry.address } : { endpoint: this.#endpoint }),
      metadata: { filename: entry.name, filetype: entry.file.type },
      retryDelays: null,
      storeFingerprintForResuming: false,
      onUploadUrlAvailable: () => {
        if (!isWanted()) return upload.abort(true).catch(() => {}); // and the server forgets it
        entry.address = upload.url;
        // A creation has a slot. One that goes on has yet to ask for it, and knows only that the server is there.
        if (!upload.resumes || this.door.why === "connection" || this.door.why === "server") {
          this.door.open(upload.number);
        }
      },
      onProgress: (sent) => {
        if (sent > entry.sent) this.#troubles.delete(entry);
        const now = performance.now();
        let { rate } = entry;
        if (now - clock.at > RATE_OVER_MS || rate === null) {
          if (now > clock.at) rate = ((sent - clock.sent) * 1000) / (now - clock.at);
          Object.assign(clock, { at: now, sent });
        }
        this.#files.change(entry, { sent, rate });
      },
      onSuccess: () => this.#succeeded(entry, upload.number),
      onError: (error) => isWanted() && this.#failed(entry, upload.number, error),
    });
    const isWanted = () => this.#uploads.get(entry) === upload;
    upload.resumes = Boolean(entry.address);
    upload.number = this.door.asks();
    this.#uploads.set(entry, upload);
    upload.start();
  }

  #succeeded(entry, number) {
    this.#uploads.delete(entry);
    this.#troubles.delete(entry);
    this.door.open(number);
    const id = entry.address.split("/").pop();
    this.#files.change(entry, { state: "queued", sent: entry.size, rate: null, id });
  }

  #failed(entry, number, error) {
    this.#uploads.delete(entry);
    const response = error.originalResponse;
    const status = response?.getStatus() ?? 0;
    if (status === 404 && entry.address) {
      this.#files.change(entry, { state: "waiting", address: null, sent: 0, rate: null }); // expired: from the start
      this.door.leave(number);
    } else if (status === 0 || (RESUMABLE.has(status) && this.#again(entry))) {
      this.#lost(entry, number);
    } else if (status === 401 || status === 403) {
      this.signedOut = true;
      this.#turnedAway(entry, number, "connection");
    } else if (status === 503 || status === 429 || status === 507) {
      this.#turnedAway(entry, number, status === 507 ? "disk" : "room", Number(response.getHeader("Retry-After")) || null);
    } else if (status >= 500) {
      this.#turnedAway(entry, number, "server");
    } else {
      this.door.leave(number);
      this.#files.change(entry, { state: "refused", rate: null, address: null, reason: sentence(response) });
    }
  }

  /** No answer, or none to the whole: the server is away, or the file is. Of a file that is gone Firefox sends the headers. */
  async #lost(entry, number) {
    const readable = await entry.file.slice(0, 1).arrayBuffer().then(() => true, () => false);
    if (entry.state !== "sending") return this.door.leave(number); // paused or cancelled meanwhile
    if (readable) return this.#turnedAway(entry, number, "connection");
    this.door.leave(number);
    this.#files.change(entry, { state: "refused", rate: null, reason: wordOf("unreadable") });
  }

  /** Whether it is worth another try: a few times without getting further, and it is not. */
  #again(entry) {
    const times = (this.#troubles.get(entry) ?? 0) + 1;
    this.#troubles.set(entry, times);
    return times <= 5 && Boolean(entry.address);
  }

  #turnedAway(entry, number, why, retryAfterS = null) {
    this.door.close(number, why, retryAfterS);
    this.#files.change(entry, { state: "waiting", rate: null });
  }
}

/** Why it was refused and what to do, in the server's words. */
function sentence(response) {
  try {
    return JSON.parse(response.getBody()).detail;
  } catch {
    return `The server refused this file (${response.getStatus()}).`;
  }
}

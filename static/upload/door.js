/**
 * The server's door as this page sees it: open, or closed until a moment. Who is turned away closes it for everybody
 * here; when the time has come one file asks, and only when it is let in do the others follow. Whoever asks gets a
 * number, and gives it back with the answer: answers to questions from before the door closed say nothing new.
 */

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 15_000;

export class Door {
  why = null; // null when open, else "room", "disk", "connection" or "server"
  opensAt = 0;
  #closings = 0;
  #failures = 0; // one after the other, without a word from the server when to come back
  #asking = false;
  #timer = null;
  #onOpen;

  constructor(onOpen) {
    this.#onOpen = onOpen;
  }

  /** Whether one more file may ask now. */
  get letsAsk() {
    return this.why === null || (Date.now() >= this.opensAt && !this.#asking);
  }

  asks() {
    this.#asking = true;
    return this.#closings;
  }

  /** Somebody was let in: the others may ask, too. */
  open(number) {
    if (number < this.#closings || this.why === null) return;
    this.why = null;
    this.#failures = 0;
    this.#onOpen();
  }

  /** Who was asking has stopped to. */
  leave(number) {
    if (number < this.#closings) return;
    this.#asking = false;
    this.#wake();
  }

  /** Turned away. `retryAfterS` is the server's word; without it the pauses grow. */
  close(number, why, retryAfterS = null) {
    if (number < this.#closings) return;
    this.#closings += 1;
    this.#asking = false;
    this.why = why;
    const grown = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#failures);
    if (retryAfterS === null) this.#failures += 1;
    // Spread: many pages were turned away in the same moment, and should not come back in the same one.
    const pause = (retryAfterS === null ? grown : retryAfterS * 1000) * (1 + Math.random() / 4);
    this.opensAt = Date.now() + pause;
    this.#wake();
  }

  /** The network is back: try now. */
  tryNow() {
    this.opensAt = 0;
    this.#failures = 0;
    this.#wake();
  }

  #wake() {
    clearTimeout(this.#timer);
    // A timer may be a moment early.
    this.#timer = setTimeout(this.#onOpen, Math.max(0, Math.ceil(this.opensAt - Date.now()) + 10));
  }
}

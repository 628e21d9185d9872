/** What a page tells a screen reader by itself: the last word, and not more often than somebody can listen to. */

import { setText } from "./format.js";

const PAUSE_MS = 10_000;

/** Returns `say(text)`, which writes into a live region; `known` is what the page has said already. */
export function speaker(region, known) {
  let wanted = known;
  let said = known;
  let timer = null;

  function speak() {
    timer = null;
    if (wanted === said) return;
    said = wanted;
    setText(region, wanted);
    timer = setTimeout(speak, PAUSE_MS);
  }

  return (text) => {
    wanted = text;
    if (timer === null) speak();
  };
}

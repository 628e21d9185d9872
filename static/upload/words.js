/** The words of this page, which are in templates/upload.html, and times as words; numbers in the reader's locale. */

import { count } from "../format.js";

const words = Object.fromEntries(
  Array.from(document.querySelectorAll("#upload-words [data-word]"), (node) => [node.dataset.word, node.textContent.trim()]),
);

const shown = (value) => (typeof value === "number" ? count(value) : value);

export const wordOf = (name, values = {}) => words[name].replace(/\{(\w+)\}/g, (_, key) => shown(values[key]));

/** "about 40 s": rounded as an estimate should be. */
export function about(seconds) {
  if (seconds < 10) return wordOf("seconds", { n: Math.max(1, Math.round(seconds)) });
  if (seconds < 90) return wordOf("seconds", { n: Math.round(seconds / 5) * 5 });
  if (seconds < 5400) return wordOf("minutes", { n: Math.round(seconds / 60) });
  return wordOf("hours", { n: Math.round(seconds / 3600) });
}

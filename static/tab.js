/** Title and icon of the tab say how the pool is, for those who look at another one. */

import { count } from "./format.js";

const icon = document.querySelector('link[rel="icon"]');
const plain = icon.getAttribute("href");

let endedBefore = null; // images that had ended when the pool last had nothing to do, or when the page was opened

const show = (said, name) => {
  const title = `${said} · imgpool`;
  if (document.title !== title) document.title = title;
  const wanted = plain.replace("favicon", name);
  if (icon.getAttribute("href") !== wanted) icon.setAttribute("href", wanted);
};

/** Nothing is known of the pool: the server does not answer. */
export const showLostInTab = () => show("Connection lost", "favicon-closed");

export function showInTab({ accepting, pool, counts }) {
  const left = counts.queued + counts.processing;
  const ended = counts.done + counts.failed + counts.deleted;
  if (left === 0 || endedBefore === null || ended < endedBefore) endedBefore = ended; // retried images end once more
  const headline = document.querySelector("[data-headline]").textContent;
  const work = `${count(ended - endedBefore)} of ${count(ended - endedBefore + left)}`;
  const closed = pool.paused || !accepting;
  const said = [left && work, (closed || !left) && (closed ? headline : "Status")].filter(Boolean).join(" · ");
  show(said, closed ? "favicon-closed" : left ? "favicon-busy" : "favicon");
}

/** Title and icon of the tab say how the pool is, for those who look at another one. */

import { count } from "./format.js";

const icon = document.querySelector('link[rel="icon"]');
const plain = icon.getAttribute("href");

export function showInTab({ accepting, pool, counts }) {
  const left = counts.queued + counts.processing;
  const headline = document.querySelector("[data-headline]").textContent;
  const said = pool.paused || !accepting ? headline : left ? `${count(left)} to do` : "Status";
  const title = `${said} · imgpool`;
  if (document.title !== title) document.title = title;
  const wanted = plain.replace("favicon", pool.paused || !accepting ? "favicon-closed" : left ? "favicon-busy" : "favicon");
  if (icon.getAttribute("href") !== wanted) icon.setAttribute("href", wanted);
}

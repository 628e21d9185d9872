/**
 * Puts the numbers and times that the server wrote into the reader's language and zone. The page waits for this module
 * before it shows anything (blocking="render"), so what is shown first is what later answers of the server agree with.
 * Firefox does not know that: there base.css hides numbers and times until they are the reader's.
 */

import { FORMATS, setText } from "./format.js";
import { showTime } from "./times.js";

for (const node of document.querySelectorAll("data[data-kind]")) {
  setText(node, FORMATS[node.dataset.kind](node.value === "" ? null : Number(node.value)));
}
for (const node of document.querySelectorAll("time[datetime]")) showTime(node);
document.documentElement.dataset.reader = "known";

/** Times in the reader's zone: the server writes UTC into every <time datetime>. */

const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

/** Writes a <time> in the reader's zone; the date only when it is not today. */
export function showTime(node, iso = node.dateTime) {
  const moment = new Date(iso);
  if (node.dateTime !== iso) node.dateTime = iso;
  const today = moment.toDateString() === new Date().toDateString();
  const text = (today ? clock : full).format(moment);
  if (node.textContent !== text) node.textContent = text;
  node.title = full.format(moment);
}

for (const node of document.querySelectorAll("time[datetime]")) showTime(node);

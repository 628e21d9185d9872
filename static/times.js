/** Times in the reader's zone and language. */

const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

/** Writes a <time>: of today the time of day, else the date, too; a brief one (data-brief) has then the date alone. */
export function showTime(node, iso = node.dateTime) {
  const moment = new Date(iso);
  if (node.dateTime !== iso) node.dateTime = iso;
  const today = moment.toDateString() === new Date().toDateString();
  const text = (today ? clock : "brief" in node.dataset ? day : full).format(moment);
  if (node.textContent !== text) node.textContent = text;
  node.title = full.format(moment);
}

/** Numbers as text, the same texts that templates/_format.html writes: change both. */

const NARROW = "\u00a0";
const NONE = "–";

export const count = (n) => (n === null ? NONE : n.toLocaleString("en"));

const decimal = (x) => x.toFixed(x < 10 ? 2 : 1);

export const rate = (x) => (x === null ? NONE : x === 0 ? "0/s" : `${decimal(x)}/s`);

export function seconds(s) {
  if (s === null) return NONE;
  const whole = Math.floor;
  if (s < 60) return `${decimal(s)}${NARROW}s`;
  if (s < 3600) return `${whole(s / 60)}${NARROW}min ${whole(s % 60)}${NARROW}s`;
  if (s < 172800) return `${whole(s / 3600)}${NARROW}h ${whole((s % 3600) / 60)}${NARROW}min`;
  return `${whole(s / 86400)}${NARROW}days`;
}

export function bytes(n) {
  if (n === null) return NONE;
  if (n < 1000) return `${n}${NARROW}B`;
  const [unit, name] = n < 1e6 ? [1e3, "kB"] : n < 1e9 ? [1e6, "MB"] : [1e9, "GB"];
  const scaled = n / unit;
  return `${scaled.toFixed(scaled < 10 ? 1 : 0)}${NARROW}${name}`;
}

export const pixels = (width, height) => `${width}${NARROW}×${NARROW}${height}`;

export const FORMATS = { count, rate, seconds, bytes, decimal: (x) => (x === null ? NONE : x.toFixed(2)) };

/** Writes only what changed, so that an update disturbs neither a selection nor a screen reader. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

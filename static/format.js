/** Numbers as text in the reader's locale; else the same texts that templates/_format.html writes: change both. */

const NARROW = "\u00a0";
const NONE = "–";

const fixed = [0, 1, 2].map((digits) => new Intl.NumberFormat(undefined, { minimumFractionDigits: digits, maximumFractionDigits: digits }));
const whole = fixed[0];
export const count = (n) => (n === null ? NONE : whole.format(n));

const decimal = (x) => fixed[x < 10 ? 2 : 1].format(x);

export const rate = (x) => (x === null ? NONE : x === 0 ? "0/s" : `${decimal(x)}/s`);

export function seconds(s) {
  if (s === null) return NONE;
  const floor = Math.floor;
  if (s < 60) return `${decimal(s)}${NARROW}s`;
  if (s < 3600) return `${floor(s / 60)}${NARROW}min ${floor(s % 60)}${NARROW}s`;
  if (s < 172800) return `${floor(s / 3600)}${NARROW}h ${floor((s % 3600) / 60)}${NARROW}min`;
  return `${floor(s / 86400)}${NARROW}days`;
}

export function bytes(n) {
  if (n === null) return NONE;
  if (n < 1000) return `${n}${NARROW}B`;
  const [unit, name] = n < 1e6 ? [1e3, "kB"] : n < 1e9 ? [1e6, "MB"] : [1e9, "GB"];
  const scaled = n / unit;
  return `${fixed[scaled < 10 ? 1 : 0].format(scaled)}${NARROW}${name}`;
}

export const pixels = (width, height) => `${width}${NARROW}×${NARROW}${height}`;

export const FORMATS = { count, rate, seconds, bytes, decimal: (x) => (x === null ? NONE : fixed[2].format(x)) };

/** Writes only what changed, so that an update disturbs neither a selection nor a screen reader. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Numbers as text in the reader's locale; else the same texts that templates/_format.html writes: change both. */

const NARROW = "\u00a0";
const NONE = "–";

const fixed = [0, 1, 2].map((digits) => new Intl.NumberFormat(undefined, { minimumFractionDigits: digits, maximumFractionDigits: digits }));
const whole = fixed[0];
const plain = new Intl.NumberFormat();
const { floor } = Math;

export const count = (n) => (n === null ? NONE : whole.format(n));

const decimal = (x) => fixed[x < 10 ? 2 : 1].format(x);

export const rate = (x) => (x === null ? NONE : x === 0 ? "0/s" : `${decimal(x)}/s`);

/** A time that was measured: to hundredths while it is short. */
export const seconds = (s) => (s === null ? NONE : s < 60 ? `${decimal(s)}${NARROW}s` : long(s));

/** A time in whole seconds. */
export const duration = (s) => (s === null ? NONE : s < 60 ? `${floor(s)}${NARROW}s` : long(s));

function long(s) {
  if (s < 3600) return `${floor(s / 60)}${NARROW}min ${floor(s % 60)}${NARROW}s`;
  if (s < 172800) return `${floor(s / 3600)}${NARROW}h ${floor((s % 3600) / 60)}${NARROW}min`;
  return `${whole.format(floor(s / 86400))}${NARROW}days`;
}

export function bytes(n) {
  if (n === null) return NONE;
  if (n < 1000) return `${whole.format(n)}${NARROW}B`;
  const [unit, name] = n < 1e6 ? [1e3, "kB"] : n < 1e9 ? [1e6, "MB"] : [1e9, "GB"];
  const scaled = n / unit;
  return `${fixed[scaled < 10 ? 1 : 0].format(scaled)}${NARROW}${name}`;
}

/** A limit is exact: 64 MiB stays 64 MiB. */
function exactBytes(n) {
  if (n === null) return NONE;
  const [unit, name] = [[1024 ** 3, "GiB"], [1024 ** 2, "MiB"], [1024, "KiB"]].find(([each]) => n && n % each === 0) ?? [1, "B"];
  return `${(unit === 1 ? whole : plain).format(n / unit)}${NARROW}${name}`;
}

export const pixels = (width, height) => `${width}${NARROW}×${NARROW}${height}`;

/** By the names that templates/_format.html has for them. */
export const FORMATS = {
  count,
  rate,
  seconds,
  duration,
  bytes,
  exact_bytes: exactBytes,
  limit_s: (s) => (s === null ? NONE : `${plain.format(s)}${NARROW}s`),
  decimal: (x) => (x === null ? NONE : fixed[2].format(x)),
};

/** Writes only what changed, so that an update disturbs neither a selection nor a screen reader. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

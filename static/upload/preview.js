/**
 * Small pictures of files that are still on this side: made one at a time, only for rows that can be seen, and only the
 * last ones are kept, so that a thousand photos need no more memory than a screenful.
 */

const WIDTH = 112;
const MOST_KEPT = 48;
const LARGEST_BYTES = 40_000_000; // decoding takes the whole picture in memory for a moment
const LARGEST_PIXELS = 60_000_000;

const kept = new Map(); // entry -> ImageBitmap, or null when there is none to be had; the oldest first
const wanted = new Map(); // entry -> canvas
let busy = false;

/** Draws the entry's picture into the canvas, now or later; shows the canvas when there is one. */
export function preview(entry, canvas) {
  canvas.hidden = true;
  if (!entry.file || entry.file.size > LARGEST_BYTES) return;
  const made = kept.get(entry);
  if (made === undefined) {
    wanted.set(entry, canvas);
    next();
  } else if (made !== null) draw(made, canvas);
}

/** The row is not on the screen any more. */
export function noPreview(entry) {
  wanted.delete(entry);
}

function draw(bitmap, canvas) {
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  canvas.hidden = false;
}

async function picture(file) {
  if ((await pngPixels(file)) > LARGEST_PIXELS) return null;
  return createImageBitmap(file, { resizeWidth: WIDTH, resizeQuality: "medium" });
}

/** A PNG of a few kilobytes may be a gigabyte of pixels; other formats cannot be so much larger than their file. */
async function pngPixels(file) {
  const head = new DataView(await file.slice(0, 24).arrayBuffer());
  return head.byteLength === 24 && head.getUint32(0) === 0x89504e47 ? head.getUint32(16) * head.getUint32(20) : 0;
}

async function next() {
  if (busy || wanted.size === 0) return;
  busy = true;
  const [entry, canvas] = wanted.entries().next().value;
  wanted.delete(entry);
  const bitmap = await picture(entry.file).catch(() => null);
  kept.set(entry, bitmap);
  for (const [oldest, old] of kept) {
    if (kept.size <= MOST_KEPT) break;
    old?.close();
    kept.delete(oldest);
  }
  if (bitmap && canvas.entry === entry) draw(bitmap, canvas);
  busy = false;
  // Uploads come first, and the browser gets time to give the decoded picture's memory back.
  setTimeout(next, 150);
}

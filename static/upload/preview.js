/**
 * Small pictures of files that are still on this side: made one at a time, only for rows that can be seen, and only the
 * last ones are kept. No photo is ever decoded whole that would need much memory: a camera's own small picture is taken,
 * or the browser reduces while it decodes, or there is none. So a thousand photos of any size need no more than a few.
 */

import { headOf } from "./header.js";

const WIDTH = 112;
const MOST_KEPT = 48;
const LARGEST_WHOLE_PIXELS = 12_500_000; // decoded, 50 MB
const LARGEST_PROGRESSIVE_PIXELS = 16_500_000; // a decoder that reduces still holds all coefficients: 3 bytes a pixel
const LARGEST_SMALL_PIXELS = 1_000_000;
const LARGEST_BYTES = 32_000_000; // in memory for a moment

const kept = new Map(); // entry -> picture, or null when there is none to be had; the oldest first
const wanted = new Map(); // entry -> canvas
let busy = false;

/** Draws the entry's picture into the canvas, now or later; shows the canvas when there is one. */
export function preview(entry, canvas) {
  canvas.hidden = true;
  if (!entry.file) return;
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

function draw({ bitmap, ratio }, canvas) {
  const { width, height } = bitmap;
  // A camera's small picture has four to three, and black bars when the photo has not.
  const [w, h] = width > height ? [width, Math.min(height, width / ratio)] : [Math.min(width, height / ratio), height];
  canvas.width = w;
  canvas.height = h;
  canvas.getContext("2d").drawImage(bitmap, (width - w) / 2, (height - h) / 2, w, h, 0, 0, w, h);
  canvas.hidden = false;
}

async function picture(file) {
  const head = await headOf(file);
  const { pixels, ratio, progressive, small } = head;
  if (small && (await headOf(small)).pixels <= LARGEST_SMALL_PIXELS) {
    // In one piece: Firefox decodes no blob that was put together from parts of a file. A broken one is as none.
    const whole = new Blob([await small.arrayBuffer()], { type: small.type });
    const bitmap = await createImageBitmap(whole).catch(() => null);
    if (bitmap) return { bitmap, ratio: ratio ?? 1 };
  }
  if (pixels === null) return null;
  const isJpeg = progressive !== null;
  const isLight = isJpeg && file.size <= LARGEST_BYTES && (!progressive || pixels <= LARGEST_PROGRESSIVE_PIXELS);
  if (isLight && "ImageDecoder" in window) return { bitmap: await reduced(file, head), ratio: 1 };
  if (pixels > LARGEST_WHOLE_PIXELS) return null;
  return { bitmap: await createImageBitmap(file, { resizeWidth: WIDTH, resizeQuality: "medium" }), ratio: 1 };
}

/** A JPEG can be decoded at an eighth of its size and less memory. Not in every browser, nor without HTTPS. */
async function reduced(file, { size, turned }) {
  const data = await file.arrayBuffer();
  const [width, height] = turned ? [...size].reverse() : size;
  // Handed over: as a stream, its pieces would wait for the garbage collector, 80 MB for photos of 48 megapixels.
  const options = { data, transfer: [data], type: "image/jpeg" };
  // To Chromium the size is a hint. Firefox makes the picture exactly so, upright: any other ratio would squash it.
  Object.assign(options, { desiredWidth: WIDTH, desiredHeight: Math.max(1, Math.round((WIDTH * height) / width)) });
  const decoder = new ImageDecoder(options);
  try {
    const { image } = await decoder.decode();
    const bitmap = await createImageBitmap(image, { resizeWidth: WIDTH, resizeQuality: "medium" });
    image.close();
    return bitmap;
  } finally {
    decoder.close();
  }
}

async function next() {
  if (busy || wanted.size === 0) return;
  busy = true;
  const [entry, canvas] = wanted.entries().next().value;
  wanted.delete(entry);
  const made = await picture(entry.file).catch(() => null);
  kept.set(entry, made);
  for (const [oldest, old] of kept) {
    if (kept.size <= MOST_KEPT) break;
    old?.bitmap.close();
    kept.delete(oldest);
  }
  if (made && canvas.entry === entry) draw(made, canvas);
  busy = false;
  // Uploads come first, and the browser gets time to give the decoded picture's memory back.
  setTimeout(next, 150);
}

/**
 * What the first bytes of a picture say of it: how large it is, and where the small picture lies that cameras put into
 * their JPEGs. Reads no more than HEAD_BYTES, so it costs the same for a photo of any size; decodes nothing.
 */

const HEAD_BYTES = 64 * 1024; // what Exif may have at most, and it is among the first

/**
 * `pixels` is null when the head does not say. `progressive` is null but for a JPEG. `small` is a JPEG inside this one,
 * upright when the photo is; `ratio` is that of the photo's long side to its short one; `turned` says that it lies on its
 * side, so that width and height of `size` change places when it is shown.
 */
export async function headOf(file) {
  const view = new DataView(await file.slice(0, HEAD_BYTES).arrayBuffer());
  const found = { size: null, pixels: null, ratio: null, progressive: null, small: null, turned: false };
  try {
    const size = view.getUint16(0) === 0xffd8 ? jpeg(view, file, found) : (png(view) ?? webp(view) ?? gif(view) ?? bmp(view) ?? heif(view));
    if (size) Object.assign(found, { size, pixels: size[0] * size[1], ratio: Math.max(...size) / Math.min(...size) });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // the file, or its head, ends before it should
  }
  return found;
}

function jpeg(view, file, found) {
  for (let at = 2; view.getUint8(at) === 0xff; at += 2 + view.getUint16(at + 2)) {
    const marker = view.getUint8(at + 1);
    if (marker === 0xe1 && view.getUint32(at + 4) === 0x45786966 /* Exif */ && !found.small) readExif(view, file, at, found);
    const isFrame = marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;
    if (isFrame) {
      found.progressive = marker > 0xc1;
      return [view.getUint16(at + 7), view.getUint16(at + 5)];
    }
  }
  return null;
}

/** Exif is a TIFF file: its first directory says which way up the photo is, the second is of the small picture. */
function readExif(view, file, segment, found) {
  const start = segment + 10;
  const little = view.getUint16(start) === 0x4949;
  const directory = (at) => {
    const entries = view.getUint16(at, little);
    const values = new Map();
    for (let n = 0, entry = at + 2; n < entries; n += 1, entry += 12) {
      const isShort = view.getUint16(entry + 2, little) === 3;
      values.set(view.getUint16(entry, little), isShort ? view.getUint16(entry + 8, little) : view.getUint32(entry + 8, little));
    }
    return { values, next: view.getUint32(at + 2 + 12 * entries, little) };
  };
  try {
    const { values: photo, next } = directory(start + view.getUint32(start + 4, little));
    found.turned = photo.get(0x0112) >= 5;
    if (!next) return;
    const { values: small } = directory(start + next);
    const [offset, length] = [start + small.get(0x0201), small.get(0x0202)];
    if (!(length > 2) || view.getUint16(offset) !== 0xffd8) return;
    // Which way up is said in the photo's Exif and not in the small picture: so that gets the photo's.
    const exif = file.slice(segment, segment + 2 + view.getUint16(segment + 2));
    found.small = new Blob([file.slice(0, 2), exif, file.slice(offset + 2, offset + length)], { type: "image/jpeg" });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
}

const png = (view) => (view.getUint32(0) === 0x89504e47 ? [view.getUint32(16), view.getUint32(20)] : null);

const gif = (view) => (view.getUint32(0) === 0x47494638 ? [view.getUint16(6, true), view.getUint16(8, true)] : null);

const bmp = (view) => (view.getUint16(0) === 0x424d ? [view.getInt32(18, true), Math.abs(view.getInt32(22, true))] : null);

function webp(view) {
  if (view.getUint32(0) !== 0x52494646 || view.getUint32(8) !== 0x57454250) return null;
  const kind = String.fromCharCode(view.getUint8(15));
  if (kind === "X") return [(view.getUint32(24, true) & 0xffffff) + 1, (view.getUint32(27, true) & 0xffffff) + 1];
  if (kind === "L") {
    const bits = view.getUint32(21, true);
    return [(bits & 0x3fff) + 1, ((bits >>> 14) & 0x3fff) + 1];
  }
  return [view.getUint16(26, true) & 0x3fff, view.getUint16(28, true) & 0x3fff];
}

/** AVIF and HEIC: the largest of their pictures, of which tiles are others. */
function heif(view) {
  if (view.getUint32(4) !== 0x66747970 /* ftyp */) return null;
  let largest = null;
  for (let at = 8; at + 16 <= view.byteLength; at += 1) {
    if (view.getUint32(at) !== 0x69737065 /* ispe */) continue;
    const size = [view.getUint32(at + 8), view.getUint32(at + 12)];
    if (!largest || size[0] * size[1] > largest[0] * largest[1]) largest = size;
  }
  return largest;
}

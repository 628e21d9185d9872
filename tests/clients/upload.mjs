/** Uploads one file with tus-js-client: `node upload.mjs PACKAGES ENDPOINT FILE [UPLOAD]`. Prints a line a step.
 *  With CHUNK_BYTES in the environment no request brings more than so many; with HOLD_AT and HOLD_FILE it says "holds"
 *  when so many bytes are stored, and goes on when there is no such file any more.
 */

import { createReadStream, existsSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { basename } from "node:path";
import { setTimeout } from "node:timers/promises";

const [packages, endpoint, file, uploadUrl] = process.argv.slice(2);
const tus = createRequire(`${packages}/`)("tus-js-client");

const { HOLD_AT = Infinity, HOLD_FILE = "" } = process.env;

const upload = new tus.Upload(createReadStream(file), {
  endpoint,
  uploadUrl,
  uploadSize: statSync(file).size,
  metadata: { filename: basename(file) },
  chunkSize: Number(process.env.CHUNK_BYTES ?? Infinity),
  retryDelays: Array(1200).fill(100), // a server may take its time to start again
  async onBeforeRequest(request) {
    if (!(Number(request.getHeader("Upload-Offset")) >= Number(HOLD_AT)) || !existsSync(HOLD_FILE)) return;
    console.log("holds");
    while (existsSync(HOLD_FILE)) await setTimeout(10);
  },
  onShouldRetry(error) {
    console.log(`retry ${error.originalResponse?.getStatus() ?? "connection"}`);
    return true;
  },
  onAfterResponse(request, response) {
    const offset = response.getHeader("Upload-Offset");
    console.log(`${request.getMethod()} ${response.getStatus()} ${offset ?? "-"}`);
  },
  onError(error) {
    console.log(`error ${error}`);
    process.exitCode = 1;
  },
  onSuccess() {
    console.log(`done ${upload.url}`);
  },
});
upload.start();

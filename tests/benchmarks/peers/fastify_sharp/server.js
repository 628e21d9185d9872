// Fastify + sharp, the usual pair in Node: the upload streams to a file, sharp makes the variants in libuv's threads.
// Tuned as sharp's documentation says: UV_THREADPOOL_SIZE is set before Node starts (see run.py), the operation cache is
// off because no two uploads are alike, sequential reading, and shrink-on-load, which resize() uses for JPEG by itself.
import { createWriteStream } from "node:fs";
import { mkdir } from "node:fs/promises";
import { randomBytes } from "node:crypto";
import { pipeline } from "node:stream/promises";
import { availableParallelism } from "node:os";
import Fastify from "fastify";
import sharp from "sharp";

const directory = process.argv[2];
await mkdir(directory, { recursive: true });
sharp.cache(false);
sharp.concurrency(1); // one thread an image: the parallelism is between images, as their documentation has it for servers

const app = Fastify({ bodyLimit: 64 * 1024 * 1024 });
app.addContentTypeParser("application/octet-stream", (request, body, done) => done(null, body));
const images = new Map();

async function variant(from, file, side, name) {
  await sharp(from, { sequentialRead: true })
    .autoOrient()
    .resize(side, side, { fit: "inside", withoutEnlargement: true })
    .jpeg({ quality: 82 })
    .toFile(`${file}-${name}.jpg`);
}

// As many images at once as there are CPUs: the rest wait in order, so that memory stays bounded.
const free = Array.from({ length: availableParallelism() }, () => Promise.resolve());
let turn = 0;
function queued(work) {
  const lane = turn++ % free.length;
  const done = free[lane].then(work);
  free[lane] = done.catch(() => {});
  return done;
}

app.post("/api/images", async (request, reply) => {
  const id = randomBytes(16).toString("hex");
  const file = `${directory}/${id}`;
  await pipeline(request.body, createWriteStream(file));
  const image = { id, state: "queued", received_at: new Date().toISOString() };
  images.set(id, image);
  queued(async () => {
    try {
      if (process.env.PEER_AS_FIRST_WRITTEN === "1") {
        // As in their examples: each variant from the original.
        await Promise.all([variant(file, file, 1600, "large"), variant(file, file, 256, "thumb")]);
      } else {
        await variant(file, file, 1600, "large");
        await variant(`${file}-large.jpg`, file, 256, "thumb"); // from the large one: less to decode
      }
      image.state = "done";
    } catch {
      image.state = "failed";
    }
    image.finished_at = new Date().toISOString();
  });
  reply.code(202);
  return { images: [{ id }] };
});
app.get("/api/images/:id", async (request, reply) => images.get(request.params.id) ?? reply.code(404).send({}));
app.get("/api/status", async () => {
  const states = [...images.values()].map((image) => image.state);
  return { in_flight: states.filter((state) => state === "queued").length };
});
console.log(`fastify: serving on ${await app.listen({ host: "127.0.0.1", port: 0 })}`);

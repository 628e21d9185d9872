/**
 * The upload form, made friendlier: files can be dropped anywhere on the page, added in several steps, looked over and
 * removed before they are sent. The browser itself sends the form, exactly as it does without this module.
 */

import { bytes, count, setText } from "./format.js";
import { fetchIfChanged, watch } from "./poll.js";
import { drawStatus } from "./pool.js";

const MOST_ROWS = 100; // a thousand rows help nobody

const form = document.querySelector("[data-upload]");
const input = form.querySelector("input[type=file]");
const maxBytes = Number(form.dataset.maxBytes);
const maxFiles = Number(form.dataset.maxFiles);
const find = (name) => form.querySelector(`[data-${name}]`);
let chosen = [];

const keyOf = (file) => `${file.name}/${file.size}/${file.lastModified}`;
const files = (n) => `${count(n)} ${n === 1 ? "file" : "files"}`;
const sum = () => chosen.reduce((total, file) => total + file.size, 0);

/** What is chosen lives in the input itself: that is what the browser sends. */
function choose(list) {
  chosen = list;
  const transfer = new DataTransfer();
  for (const file of chosen) transfer.items.add(file);
  input.files = transfer.files;
  draw();
}

function add(more) {
  const known = new Set(chosen.map(keyOf));
  choose([...chosen, ...Array.from(more).filter((file) => !known.has(keyOf(file)))]);
}

function draw() {
  const large = chosen.filter((file) => file.size > maxBytes).length;
  find("chosen").hidden = chosen.length === 0;
  setText(find("chosen-count"), files(chosen.length));
  setText(find("chosen-bytes"), bytes(sum()));
  find("chosen-list").replaceChildren(...chosen.slice(0, MOST_ROWS).map(row));
  find("chosen-more").hidden = chosen.length <= MOST_ROWS;
  setText(find("chosen-rest"), files(chosen.length - MOST_ROWS));
  setText(find("trouble-large"), large === 1 ? "One file is" : `${files(large)} are`);
  form.querySelector('[data-trouble="large"]').hidden = large === 0;
  form.querySelector('[data-trouble="many"]').hidden = chosen.length <= maxFiles;
  const button = form.querySelector("button[type=submit]");
  setText(button, chosen.length ? `Upload ${files(chosen.length)}` : "Upload");
}

function row(file, index) {
  const node = document.getElementById("chosen-file").content.firstElementChild.cloneNode(true);
  node.querySelector(".chosen-name").textContent = file.name;
  node.querySelector(".chosen-size").textContent = bytes(file.size);
  node.querySelector(".chosen-warning").hidden = file.size <= maxBytes;
  const remove = node.querySelector("button");
  remove.querySelector("bdi").textContent = ` ${file.name}`;
  remove.addEventListener("click", () => {
    choose(chosen.filter((each) => each !== file));
    // The focus goes to the next file's button, or back to where files are chosen.
    const buttons = find("chosen-list").querySelectorAll("button");
    (buttons[Math.min(index, buttons.length - 1)] ?? input).focus();
  });
  return node;
}

input.addEventListener("change", () => add(input.files));
find("remove-large").addEventListener("click", () => {
  choose(chosen.filter((file) => file.size <= maxBytes));
  input.focus();
});

const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
let inside = 0; // dragenter and dragleave come for every element on the way
document.addEventListener("dragenter", (event) => {
  if (holdsFiles(event)) form.dataset.drop = (inside += 1) > 0 ? "yes" : "no";
});
document.addEventListener("dragleave", (event) => {
  if (holdsFiles(event)) form.dataset.drop = (inside -= 1) > 0 ? "yes" : "no";
});
document.addEventListener("dragover", (event) => {
  if (holdsFiles(event)) event.preventDefault();
});
document.addEventListener("drop", (event) => {
  if (!holdsFiles(event)) return;
  event.preventDefault(); // or the browser would leave the page and show the photo
  inside = 0;
  form.dataset.drop = "no";
  add(event.dataTransfer.files);
});

function sending(now) {
  find("sending").firstElementChild.hidden = !now;
  find("sending-bar").hidden = !now;
  form.querySelector("button[type=submit]").disabled = now;
  form.dataset.busy = now ? "yes" : "no";
}

form.addEventListener("submit", () => {
  setText(find("sending-what"), `${files(chosen.length)}, ${bytes(sum())}`);
  sending(true);
});

// Back from the answer, the browser may show this page as it was left, or with the files still in the input.
window.addEventListener("pageshow", () => {
  sending(false);
  chosen = Array.from(input.files);
  draw();
});

const server = document.querySelector("[data-status]");
if (server) {
  const look = async () => {
    const status = await fetchIfChanged(server.dataset.status);
    if (status) drawStatus(status);
  };
  watch(look, { pauseMs: 2000, onTrouble: (error) => (server.dataset.stale = error ? "yes" : "no") });
}

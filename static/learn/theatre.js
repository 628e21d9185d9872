/** Draws one frame of a run: who sends, the places of the jobs channel, the workers' lanes, the results, who collects. */

import { setText } from "../format.js";
import { stateWord } from "./words.js";

const make = (tag, name, text = "") => Object.assign(document.createElement(tag), { className: name, textContent: text });

/** Builds the drawing for a run into `root`; returns the function that draws one frame. */
export function buildTheatre(root, frames) {
  const first = frames[0];
  const names = Object.keys(first.threads);
  const workers = names.filter((name) => first.threads[name].worker).sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  const others = names.filter((name) => !first.threads[name].worker);
  const lanes = new Map();
  const channels = new Map();

  root.replaceChildren();
  root.dataset.crowd = workers.length > 8 ? "yes" : "no";
  const people = column("others", others.length > 1 ? "Send and collect" : "Sends and collects", others, lanes);
  const crew = column("workers", workers.length > 8 ? `${workers.length} threads` : "Workers", workers, lanes);
  if (others.length) root.append(people);
  for (const name of ["jobs", "results"]) {
    if (name === "results" || !first.channels.jobs) root.append(crew);
    if (first.channels[name]) {
      channels.set(name, tube(first.channels[name]));
      root.append(channels.get(name).node);
    }
  }
  if (!crew.isConnected) root.append(crew);
  const paper = make("div", "theatre-part theatre-output");
  paper.append(make("h4", "", "Printed"), make("pre", "theatre-paper"), make("p", "theatre-lost"));
  paper.hidden = frames.at(-1).output.length === 0 && frames.at(-1).refused.length === 0;
  root.append(paper);

  return (frame) => {
    for (const [name, lane] of lanes) drawLane(lane, frame.threads[name]);
    for (const [name, channel] of channels) drawTube(channel, frame.channels[name]);
    setText(paper.querySelector("pre"), frame.output.slice(-8).join("\n"));
    const lost = [];
    if (frame.refused.length) lost.push(`refused: ${frame.refused.join(", ")}`);
    if (frame.dropped.length) lost.push(`dropped: ${frame.dropped.join(", ")}`);
    setText(paper.querySelector(".theatre-lost"), lost.join(" · "));
  };
}

function column(kind, title, names, lanes) {
  const node = make("div", `theatre-part theatre-${kind}`);
  node.append(make("h4", "", title));
  const list = make("div", "theatre-lanes");
  for (const name of names) {
    const lane = make("div", "actor");
    lane.append(make("span", "actor-name", name), make("span", "actor-item"), make("span", "actor-state"));
    lanes.set(name, lane);
    list.append(lane);
  }
  node.append(list);
  return node;
}

function drawLane(lane, thread) {
  if (lane.dataset.state !== thread.state) lane.dataset.state = thread.state;
  setText(lane.querySelector(".actor-item"), thread.item ?? "");
  setText(lane.querySelector(".actor-state"), thread.wants ? `${stateWord(thread.state)}: wants ${thread.wants}` : stateWord(thread.state));
}

function tube(channel) {
  const node = make("div", "theatre-part theatre-channel");
  const title = make("h4", "", channel.name);
  title.append(make("span", "theatre-closed"));
  const slots = make("div", "slots");
  for (let place = 0; place < channel.capacity; place += 1) slots.append(make("span", "slot"));
  const note = make("p", "theatre-note", channel.capacity === 0 ? "no buffer: from hand to hand" : "");
  const waiting = make("div", "theatre-waiting");
  node.append(title, slots, note, waiting);
  return { node, slots, waiting, closed: title.querySelector("span") };
}

function drawTube({ slots, waiting, closed, node }, channel) {
  while (slots.children.length > channel.capacity) slots.lastElementChild.remove();
  while (slots.children.length < Math.max(channel.capacity, channel.buffered.length)) slots.append(make("span", "slot"));
  Array.from(slots.children).forEach((slot, place) => {
    const item = channel.buffered[place];
    slot.dataset.full = item === undefined ? "no" : "yes";
    setText(slot, item === undefined ? "" : short(item));
  });
  const blocked = channel.senders.map(([who, item]) => `${who} with ${item}`);
  setText(waiting, blocked.length ? `blocked: ${blocked.join(", ")}` : "");
  setText(closed, channel.closed ? " closed" : "");
  node.dataset.closed = channel.closed ? "yes" : "no";
}

/** What fits on a place: a number as it is, of a longer name the number at its end. */
const short = (item) => (item.length <= 3 ? item : (item.match(/\d+$/)?.[0].slice(-3) ?? item.slice(0, 3)));

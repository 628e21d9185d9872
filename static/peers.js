/** Hosts and workers, as templates/_peers.html draws them first. */

import { duration, setText } from "./format.js";
import { pageOf } from "./pool.js";

export function drawPeers({ peers }, nameOf) {
  const body = document.querySelector("[data-peers]");
  if (!body) return; // one machine
  const blank = document.getElementById("peer").content.querySelector("tr");
  while (body.rows.length > peers.length) body.lastElementChild.remove();
  while (body.rows.length < peers.length) body.append(blank.cloneNode(true));
  peers.forEach((peer, index) => drawPeer(body.rows[index], peer, nameOf));
  drawSettings(peers.filter((peer) => peer.alive && peer.queue_capacity !== null));
}

/** Web hosts that were started with different numbers of places. */
function drawSettings(webs) {
  const settings = new Map();
  for (const { queue_capacity: places, host, pid } of [...webs].sort((a, b) => a.queue_capacity - b.queue_capacity)) {
    settings.set(places, [...(settings.get(places) ?? []), `${host} ${pid}`]);
  }
  document.querySelector("[data-peers-disagree]").hidden = settings.size < 2;
  const told = [...settings].map(([places, hosts]) => `${places} on ${hosts.join(", ")}`);
  setText(document.querySelector("[data-peers-settings]"), told.join("; "));
}

function drawPeer(row, peer, nameOf) {
  const part = (name) => row.querySelector(`[data-peer="${name}"]`);
  row.dataset.alive = peer.alive ? "yes" : "no";
  setText(part("kind"), peer.kind === "web" ? "web host" : "worker");
  setText(part("where"), `${peer.host} ${peer.pid}`);
  setText(part("alive"), peer.alive ? "alive" : "silent for");
  part("silent").hidden = peer.alive;
  setText(part("silent"), duration(peer.silent_s));
  part("image").hidden = peer.image === null;
  if (peer.image === null) return;
  part("image").href = pageOf(peer.image);
  setText(part("image").querySelector("bdi"), nameOf(peer.image) ?? peer.image.slice(0, 8));
}

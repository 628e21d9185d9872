/** The page of an image that is not finished yet loads itself anew when its state has changed. */

import { fetchIfChanged, watch } from "./poll.js";

const head = document.querySelector("[data-unfinished]");

async function look() {
  const image = await fetchIfChanged(head.dataset.unfinished);
  if (image && image.state !== head.dataset.state) location.reload();
}

watch(look, { pauseMs: 1000, onTrouble: () => {} });

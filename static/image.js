/** The page of an image that is not finished yet loads itself anew when its state has changed, or when it is gone. */

import { Gone, fetchIfChanged, watch } from "./poll.js";

const head = document.querySelector("[data-unfinished]");

async function look() {
  try {
    const image = await fetchIfChanged(head.dataset.unfinished);
    if (image && image.state !== head.dataset.state) location.reload();
  } catch (error) {
    if (!(error instanceof Gone)) throw error;
    location.reload(); // the server's page says that there is no such image
  }
}

watch(look, { pauseMs: 1000, onTrouble: () => {} });

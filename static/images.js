/** Keeps the cards of templates/_images.html true to a page from GET /api/images: each card is changed in place. */

import { bytes, pixels, setText } from "./format.js";
import { pageOf } from "./pool.js";
import { showTime } from "./times.js";

/**
 * Makes the cards of `list` those of `images`, in that order. A card that has the focus is never taken away. With
 * `keepOlder`, cards behind the last of `images` stay: others follow below, and there must be no gap.
 */
export function drawImages(list, images, { keepOlder = false } = {}) {
  const last = images.length && keepOlder ? Number(images.at(-1).cursor) : 0;
  const cards = new Map(Array.from(list.children, (card) => [card.dataset.id, card]));
  const wanted = new Set(images.map((image) => image.id));
  for (const [id, card] of cards) {
    const stays = wanted.has(id) || card.contains(document.activeElement) || Number(card.dataset.cursor) < last;
    if (!stays) card.remove();
  }
  const blank = document.getElementById("card").content.firstElementChild;
  let next = list.firstElementChild;
  for (const image of images) {
    while (next && !wanted.has(next.dataset.id)) next = next.nextElementSibling;
    const card = cards.get(image.id) ?? blank.cloneNode(true);
    // Only new cards are inserted: moving a node would lose its focus, and the order of the others never changes.
    if (card === next) next = next.nextElementSibling;
    else list.insertBefore(card, next);
    drawCard(card, image);
  }
}

function drawCard(card, image) {
  const part = (name) => card.querySelector(`[data-card="${name}"]`);
  if (card.dataset.id !== image.id) {
    card.dataset.id = image.id;
    card.dataset.cursor = image.cursor;
    card.querySelector("a").href = pageOf(image.id);
    part("name").title = image.name;
    const pick = card.querySelector("input");
    pick.value = image.id;
    pick.ariaLabel = `Select ${image.name}`;
  }
  setText(part("name"), image.name);
  setText(part("facts"), (image.width ? `${pixels(image.width, image.height)} · ` : "") + bytes(image.bytes));
  showTime(card.querySelector("time"), image.received_at);
  if (card.dataset.state !== image.state) {
    card.dataset.state = image.state;
    const state = card.querySelector(".state");
    state.dataset.state = image.state;
    setText(state, image.state);
  }
  setText(part("error"), image.error ?? "");
  part("error").hidden = !image.error;
  drawThumb(card.querySelector("img"), image.variants);
}

function drawThumb(picture, variants) {
  const thumb = variants.find((variant) => variant.name === "thumb") ?? variants[0];
  picture.hidden = !thumb;
  if (thumb && picture.getAttribute("src") !== thumb.url) {
    picture.width = thumb.width;
    picture.height = thumb.height;
    const sides = [thumb.width, thumb.height];
    const whole = Math.max(...sides) > 2 * Math.min(...sides) || Math.max(...sides) < 200; // as in _images.html
    if (whole) picture.dataset.fit = "whole";
    picture.src = thumb.url;
  }
}

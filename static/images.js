/** Keeps the cards of templates/_images.html true to a page from GET /api/images: each card is changed in place. */

import { bytes, pixels, setText } from "./format.js";
import { pageOf } from "./pool.js";
import { showTime } from "./times.js";

const blankCard = () => document.getElementById("card").content.firstElementChild.cloneNode(true);

/** Fills an empty list with cards that stand for images on their way. */
export function drawSkeletons(list, n) {
  for (let i = 0; i < n; i += 1) {
    const card = blankCard();
    card.dataset.skeleton = "";
    card.setAttribute("aria-hidden", "true");
    card.inert = true;
    list.append(card);
  }
}

/**
 * Makes the cards of `list` those of `images`, in that order. A card that has the focus is never taken away. With
 * `keepOlder`, cards behind the last of `images` stay: others follow below, and there must be no gap.
 */
export function drawImages(list, images, { keepOlder = false } = {}) {
  const last = images.length && keepOlder ? Number(images.at(-1).cursor) : 0;
  for (const card of list.querySelectorAll("[data-skeleton]")) card.remove();
  const cards = new Map(Array.from(list.children, (card) => [card.dataset.id, card]));
  const wanted = new Set(images.map((image) => image.id));
  for (const [id, card] of cards) {
    const stays = wanted.has(id) || card.contains(document.activeElement) || Number(card.dataset.cursor) < last;
    if (!stays) card.remove();
  }
  let next = list.firstElementChild;
  for (const image of images) {
    while (next && !wanted.has(next.dataset.id)) next = next.nextElementSibling;
    const card = cards.get(image.id) ?? blankCard();
    // Only new cards are inserted: moving a node would lose its focus, and the order of the others never changes.
    if (card === next) next = next.nextElementSibling;
    else list.insertBefore(card, next);
    drawCard(card, image);
  }
}

/**
 * Changes cards in place, and has none come or go while somebody looks at them: returns how many images are newer than
 * all cards. Cards of images that are not in a `whole` answer any more say that they are gone; those from `before` on were
 * not asked for.
 */
export function redrawImages(list, images, { whole, before = Infinity }) {
  const wanted = new Map(images.map((image) => [image.id, image]));
  const newest = Number(list.firstElementChild?.dataset.cursor ?? 0);
  const last = whole || !images.length ? 0 : Number(images.at(-1).cursor);
  for (const card of list.children) {
    const image = wanted.get(card.dataset.id);
    const cursor = Number(card.dataset.cursor);
    if (image) drawCard(card, image);
    else if (cursor >= last && cursor < before) drawState(card, "gone", document.querySelector("[data-gone-word]").dataset.goneWord);
  }
  return images.filter((image) => Number(image.cursor) > newest).length;
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
    pick.setAttribute("aria-label", `Select ${image.name}`);
  }
  setText(part("name"), image.name);
  setText(part("facts"), (image.width ? `${pixels(image.width, image.height)} · ` : "") + bytes(image.bytes));
  showTime(card.querySelector("time"), image.received_at);
  if (card.dataset.state !== image.state) drawState(card, image.state, image.state);
  setText(part("error"), image.error ?? "");
  part("error").title = image.error ?? "";
  part("error").hidden = !image.error;
  drawThumb(card.querySelector("img"), image.variants);
}

function drawState(card, name, word) {
  const state = card.querySelector(".state");
  card.dataset.state = state.dataset.state = name;
  setText(state, word);
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

/**
 * The images below the newest ones, as far down as somebody scrolls: pages of a fixed size, of which only those near the
 * screen have cards. The others are empty boxes of the height that they had, so 100,000 images cost as much as a few.
 *
 * While cards can be seen, none comes or goes by itself: they would all move. They change in place, and what is new waits.
 */

import { drawImages, drawSkeletons, redrawImages } from "./images.js";
import { SignedOut, fetchIfChanged } from "./poll.js";

export const PAGE = 60; // fills whole rows of 2, 3, 4, 5 or 6 cards, so that no page but the last ends in a gap
const MOST_NEWEST = 3 * PAGE;
const NEAR = "1500px 0px";
const AGAIN_MS = 2000;
const UNFINISHED = '.card[data-state="queued"], .card[data-state="processing"]';

/** `addressOf(cursor, limit)` is where a page is asked for; `next` is the cursor behind the newest images, or null. */
export function endless({ newest, below, end, addressOf, known }) {
  let next = null;
  let last = 0; // of the newest images as they were told: cards behind it hear nothing more from there
  let begun = false;
  let busy = false;

  const onScreen = new WeakSet(); // pages that are on the screen or near it
  const near = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        if (isIntersecting) onScreen.add(target);
        else onScreen.delete(target);
        if (!isIntersecting) empty(target);
        else if (target === end) grow();
        else if (target.children.length === 0) fill(target, persistently);
      }
    },
    { rootMargin: NEAR },
  );

  /** Has the observer say anew whether the end is near: it tells of changes only, and between two frames the end may
   * have gone and come. */
  function lookAtTheEnd() {
    near.unobserve(end);
    near.observe(end);
  }

  async function grow() {
    if (busy || next === null) return;
    busy = true;
    begun = true;
    try {
      const page = addPage(next);
      const told = await fill(page, persistently);
      if (page.isConnected) next = told;
    } finally {
      busy = false;
    }
    lookAtTheEnd();
  }

  const before = (cursor) => fetchIfChanged(addressOf(cursor, PAGE), { always: true });
  const once = (page) => before(page.dataset.before);

  /** Until the server answers: cards that stand in for images must not stay. */
  async function persistently(page) {
    for (;;) {
      try {
        return await once(page);
      } catch (error) {
        if (error instanceof SignedOut || !page.isConnected) return { images: [], next: null };
      }
      await new Promise((go) => setTimeout(go, AGAIN_MS));
    }
  }

  function addPage(cursor, before = null) {
    const page = newest.cloneNode(false);
    for (const name of Object.keys(page.dataset)) delete page.dataset[name];
    page.classList.add("older-page");
    page.dataset.before = cursor;
    below.insertBefore(page, before);
    onScreen.add(page);
    near.observe(page);
    return page;
  }

  async function fill(page, ask) {
    if (page.children.length === 0) drawSkeletons(page, Number(page.dataset.cards ?? PAGE));
    const answer = await ask(page);
    known(answer.images);
    if (!onScreen.has(page)) return answer.next; // scrolled past meanwhile: it stays a box
    if (page.querySelector("[data-id]:not([data-skeleton])")) {
      redrawImages(page, answer.images, { whole: answer.next === null });
    } else {
      drawImages(page, answer.images);
      page.dataset.cards = answer.images.length;
      page.style.height = "";
    }
    return answer.next;
  }

  /** Asks again for unfinished cards of the newest images behind this cursor; returns the one to go on from, or 0. */
  async function refreshBehind(cursor) {
    const card = Array.from(newest.querySelectorAll(UNFINISHED)).find((each) => Number(each.dataset.cursor) < cursor);
    if (!card) return 0;
    const from = Number(card.dataset.cursor) + 1;
    const answer = await before(from);
    known(answer.images);
    redrawImages(newest, answer.images, { whole: answer.next === null, before: from });
    return Number(answer.images.at(-1)?.cursor ?? 0);
  }

  function empty(page) {
    if (page.children.length === 0 || page.querySelector(":checked, :focus")) return;
    page.style.height = `${page.getBoundingClientRect().height}px`;
    page.replaceChildren();
  }

  function startAnew() {
    for (const page of below.children) near.unobserve(page);
    below.replaceChildren();
    begun = false;
  }

  function isSeen() {
    const top = newest.getBoundingClientRect().top;
    return newest.children.length > 0 && top < innerHeight && end.getBoundingClientRect().bottom > 0;
  }

  return {
    /**
     * Draws the newest images, and returns how many of them wait to be shown: when cards can be seen, unless `asked`.
     * From the first page below them on, none of them may fall out at the end.
     */
    draw(images, cursor, { asked = false } = {}) {
      last = Number(images.at(-1)?.cursor ?? 0);
      if (!asked && isSeen()) return redrawImages(newest, images, { whole: cursor === null });
      const known = Number(newest.firstElementChild?.dataset.cursor ?? 0);
      if (begun && images.length && Number(images.at(-1).cursor) > known) startAnew(); // more came than one answer holds
      drawImages(newest, images, { keepOlder: begun });
      if (!begun) {
        next = cursor;
        lookAtTheEnd();
      }
      while (newest.children.length > MOST_NEWEST) {
        const moved = Array.from(newest.children).slice(-PAGE);
        const page = addPage(moved[0].previousElementSibling.dataset.cursor, below.firstElementChild);
        page.append(...moved);
        page.dataset.cards = PAGE;
      }
      return 0;
    },
    /** Asks again for what is unfinished: the pages on the screen, and what fell out of the newest images meanwhile. */
    async refresh() {
      await Promise.all(Array.from(below.children).filter((page) => page.querySelector(UNFINISHED)).map((page) => fill(page, once)));
      for (let cursor = last; cursor; ) cursor = await refreshBehind(cursor);
    },
  };
}

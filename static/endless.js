/**
 * The images below the newest ones, as far down as somebody scrolls: pages of a fixed size, of which only those near the
 * screen have cards. The others are empty boxes of the height that they had, so 100,000 images cost as much as a few.
 */

import { drawImages } from "./images.js";
import { fetchIfChanged } from "./poll.js";

export const PAGE = 60; // fills whole rows of 2, 3, 4, 5 or 6 cards, so that no page but the last ends in a gap
const MOST_NEWEST = 3 * PAGE;
const NEAR = "1500px 0px";

/** `addressOf(cursor, limit)` is where a page is asked for; `next` is the cursor behind the newest images, or null. */
export function endless({ newest, below, end, addressOf, known }) {
  let next = null;
  let begun = false;
  let busy = false;

  const near = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        if (target === end) grow();
        else if (isIntersecting) fill(target);
        else empty(target);
      }
    },
    { rootMargin: NEAR },
  );
  near.observe(end);

  async function grow() {
    if (busy || next === null || !isNear(end)) return;
    busy = true;
    begun = true;
    try {
      next = await fill(addPage(next));
    } finally {
      busy = false;
    }
    grow();
  }

  function addPage(cursor, before = null) {
    const page = newest.cloneNode(false);
    for (const name of Object.keys(page.dataset)) delete page.dataset[name];
    page.classList.add("older-page");
    page.dataset.before = cursor;
    below.insertBefore(page, before);
    near.observe(page);
    return page;
  }

  async function fill(page) {
    const answer = await fetchIfChanged(addressOf(page.dataset.before, PAGE), { always: true });
    drawImages(page, answer.images);
    known(answer.images);
    page.style.height = "";
    return answer.next;
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

  const isNear = (node) => node.getBoundingClientRect().top < innerHeight + 1500;

  return {
    /** Draws the newest images; from the first page below them on, none of them may fall out at the end. */
    draw(images, cursor) {
      const known = Number(newest.firstElementChild?.dataset.cursor ?? 0);
      if (begun && images.length && Number(images.at(-1).cursor) > known) startAnew(); // more came than one answer holds
      drawImages(newest, images, { keepOlder: begun });
      if (!begun) {
        next = cursor;
        grow();
      }
      while (newest.children.length > MOST_NEWEST) {
        const moved = Array.from(newest.children).slice(-PAGE);
        const page = addPage(moved[0].previousElementSibling.dataset.cursor, below.firstElementChild);
        page.append(...moved);
      }
    },
    /** Asks again for the pages on the screen that have something unfinished. */
    async refresh() {
      const unfinished = '[data-state="queued"], [data-state="processing"]';
      await Promise.all(Array.from(below.children).filter((page) => page.querySelector(unfinished)).map(fill));
    },
  };
}

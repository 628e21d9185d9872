/** The button that puts the address of this page on the clipboard; without a clipboard its place stays empty. */

import { setText } from "./format.js";

const button = document.querySelector("[data-copy]");
if (!navigator.clipboard) {
  button.style.visibility = "hidden"; // and not away: nothing moves
} else {
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(location.href);
      setText(button, "Copied");
    } catch {
      setText(button, "Not allowed: copy the address above");
    }
  });
}

/** Makes the learn page live: each stage by itself, so that one which fails leaves the others alone. */

import { startFlood } from "./flood.js";
import { startMine } from "./mine.js";
import { startStage } from "./stage.js";
import { startSweep } from "./sweep.js";

const SQUARES = [1, 4, 9, 16, 25];

for (const root of document.querySelectorAll("[data-stage]")) startStage(root);
for (const root of document.querySelectorAll("[data-sweep]")) startSweep(root);
for (const root of document.querySelectorAll("[data-flood]")) startFlood(root);
startMine();

const squares = document.querySelector("[data-squares]");
squares.addEventListener("change", () => {
  const given = (squares.value.match(/\d+/g) ?? []).map(Number).sort((a, b) => a - b);
  const missing = SQUARES.filter((square) => !given.includes(square));
  const wrong = given.filter((number) => !SQUARES.includes(number));
  document.querySelector("[data-squares-verdict]").textContent =
    given.length === 0 ? "" : missing.length || wrong.length ? `✗ Not yet: ${[missing.length && `${missing.length} missing`, wrong.length && `${wrong.join(", ")} is no square of 1 to 5`].filter(Boolean).join("; ")}.` : "✓ Right.";
});

/** A first visit without photos at hand: one click sends the server's sample images through the pool. */

const LONGEST_WAIT_S = 10;

const button = document.querySelector("[data-samples]");
const wrong = document.querySelector("[data-samples-wrong]");

async function send(address) {
  const picture = await (await fetch(address)).blob();
  for (;;) {
    const name = encodeURIComponent(decodeURIComponent(address.split("/").at(-1)));
    const answer = await fetch(`${button.dataset.to}?name=${name}`, { method: "POST", body: picture, headers: { Accept: "application/json" } });
    if (answer.ok) return;
    const told = await answer.json();
    const waitS = Number(answer.headers.get("Retry-After"));
    if (answer.status !== 503 || waitS > LONGEST_WAIT_S) throw new Error(told.detail ?? told.title);
    await new Promise((go) => setTimeout(go, waitS * 1000));
  }
}

if (button) {
  button.addEventListener("click", async () => {
    button.disabled = true;
    wrong.hidden = true;
    try {
      for (const address of button.dataset.samples.split(" ")) await send(address);
    } catch (error) {
      wrong.textContent = error.message;
      wrong.hidden = false;
    }
    button.disabled = false;
  });
}

/** Files from wherever they come: chosen, a folder, the camera, dropped anywhere on the page, pasted. */

const PICTURE = /\.(jpe?g|jfif|png|webp|gif|avif|tiff?|bmp|hei[cf])$/i;

const isPicture = (file) => file.type.startsWith("image/") || PICTURE.test(file.name);
const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");

/** `take(files, leftOut)` gets every lot; `leftOut` is how many files of a folder are no pictures. */
export function intake(form, take) {
  const takeFolder = (files) => {
    const pictures = files.filter(isPicture);
    take(pictures, files.length - pictures.length);
  };

  const listen = (input) => {
    const given = () => {
      const files = Array.from(input.files);
      input.value = ""; // or the same file could not be chosen twice
      if (input.webkitdirectory) takeFolder(files);
      else take(files, 0);
    };
    input.addEventListener("change", given);
    if (input.files.length) given(); // by somebody who was faster than this script
  };
  listen(form.querySelector("input[type=file]"));
  for (const button of form.querySelectorAll("[data-opens]")) {
    // Fields that only a script can use are not in the page.
    const input = Object.assign(document.createElement("input"), { type: "file" });
    if (button.dataset.opens === "folder") input.webkitdirectory = true;
    else {
      input.accept = "image/*";
      input.setAttribute("capture", "environment"); // desktop browsers know no such property
    }
    listen(input);
    button.addEventListener("click", () => input.click());
  }

  let inside = 0; // dragenter and dragleave come for every element on the way
  const mark = () => (form.dataset.drop = inside > 0 ? "yes" : "no");
  document.addEventListener("dragenter", (event) => {
    if (holdsFiles(event)) inside += 1;
    mark();
  });
  document.addEventListener("dragleave", (event) => {
    if (holdsFiles(event)) inside = Math.max(0, inside - 1);
    mark();
  });
  document.addEventListener("dragover", (event) => {
    if (holdsFiles(event)) event.preventDefault();
  });
  document.addEventListener("drop", async (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault(); // or the browser would leave the page and show the photo
    inside = 0;
    mark();
    // Both are empty once this event is over: look at them now.
    const entries = Array.from(event.dataTransfer.items, (item) => item.webkitGetAsEntry?.()).filter(Boolean);
    const files = Array.from(event.dataTransfer.files);
    const folders = entries.filter((entry) => entry.isDirectory);
    if (!folders.length) return take(files, 0);
    take(files.filter((file) => !folders.some((folder) => folder.name === file.name)), 0);
    for (const folder of folders) takeFolder(await filesIn(folder));
  });
  document.addEventListener("paste", (event) => {
    const files = Array.from(event.clipboardData?.files ?? []);
    if (files.length) take(files, 0);
  });
}

async function filesIn(folder) {
  const found = [];
  const reader = folder.createReader();
  for (;;) {
    // A reader gives a hundred at a time, and nothing at the end.
    const entries = await new Promise((resolve) => reader.readEntries(resolve, () => resolve([])));
    if (!entries.length) return found;
    for (const entry of entries) {
      if (entry.isDirectory) found.push(...(await filesIn(entry)));
      else found.push(...(await fileOf(entry)));
    }
  }
}

/** The file, or nothing when it cannot be read. A dropped one does not say by itself where in the folder it lay. */
function fileOf(entry) {
  return new Promise((resolve) => {
    entry.file((file) => resolve([Object.assign(file, { pathInFolder: entry.fullPath })]), () => resolve([]));
  });
}

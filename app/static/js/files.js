// Files are dropped on the box of a record, or chosen, and sent at once by the form that stands in it.
// Reads only data attributes: [data-drop][data-most][data-too-large] around one form with a file field.

const live = (box) => {
  if ("dropLive" in box.dataset) return box;
  box.dataset.dropLive = "";
  const field = box.querySelector('input[type="file"]');
  field.addEventListener("change", () => field.files.length && send(box));
  return box;
};

function send(box) {
  const field = box.querySelector('input[type="file"]');
  const large = [...field.files].find((file) => file.size > Number(box.dataset.most) * 1024 * 1024);
  if (large) {
    tell(box, box.dataset.tooLarge.replace("{name}", large.name));
    field.value = "";
    return;
  }
  box.classList.add("is-sending");
  field.form.requestSubmit();
}

function tell(box, words) {
  const note = box.querySelector(".field-error");
  note.querySelector("span").textContent = words;
  note.hidden = !words;
}

const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");

document.addEventListener("dragover", (event) => {
  const box = document.querySelector("[data-drop]");
  if (!box || !carriesFiles(event)) return;
  event.preventDefault(); // beside the box, too: or the browser would leave the page and show the file
  live(box).classList.toggle("is-over", box.contains(event.target));
});

document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.querySelector("[data-drop]")?.classList.remove("is-over");
});

document.addEventListener("drop", (event) => {
  const box = document.querySelector("[data-drop]");
  if (!box || !carriesFiles(event)) return;
  event.preventDefault();
  box.classList.remove("is-over");
  if (!box.contains(event.target) || !event.dataTransfer.files.length) return;
  box.querySelector('input[type="file"]').files = event.dataTransfer.files;
  send(box);
});

for (const box of document.querySelectorAll("[data-drop]")) live(box);

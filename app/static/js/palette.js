// The palette: opens above any page, finds while one types, and is walked with the arrow keys. Without this script the
// same is a page, /search/.

const palette = document.querySelector("#palette");
const words = palette?.querySelector("input");
const places = () => [...palette.querySelectorAll(".found-row")];

document.addEventListener("click", (event) => {
  if (!palette || !event.target.closest?.("[data-palette]") || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  if (palette.open) return;
  palette.showModal();
  words.select();
  // As if typed: what is typed meanwhile takes its place, and is not overtaken by it.
  if (!palette.querySelector(".found-row")) htmx.trigger(words.form, "input");
});

function find() {
  return htmx.ajax("GET", `/search/?q=${encodeURIComponent(words.value)}`, { target: "#found", swap: "innerHTML" });
}

palette?.addEventListener("keydown", (event) => {
  const all = places();
  const now = all.indexOf(document.activeElement);
  if (event.key === "ArrowDown") step(all[Math.min(now + 1, all.length - 1)]);
  else if (event.key === "ArrowUp") step(now > 0 ? all[now - 1] : words);
  else if (event.key === "Escape") palette.close();
  else if (event.key === "Enter" && event.target === words && !event.isComposing) open();
  else if (now >= 0 && event.key.length === 1 && !event.ctrlKey && !event.metaKey) return words.focus();
  else return;
  event.preventDefault();
});

function step(element) {
  element?.focus();
}

// What stands first is meant; what is typed faster than it is found, is waited for.
async function open() {
  if (palette.dataset.found !== words.value) {
    await find();
    palette.dataset.found = words.value;
  }
  places()[0]?.click();
}

palette?.addEventListener("htmx:after:swap", () => {
  palette.dataset.found = words.value;
});

palette?.addEventListener("click", (event) => {
  if (event.target === palette || event.target.closest("[data-dialog]")) palette.close();
});

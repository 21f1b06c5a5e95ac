// What the last deed answered floats for ten seconds, longer while the pointer or the keys are on it; then it goes. Bad news
// stand on the page until it is left. Works on #flashes, also when a script has put new words there ("foyer:said").

const SHOWN = 10_000; // milliseconds
const place = document.querySelector("#flashes");

function begin() {
  const notes = [...(place?.querySelectorAll(".note") ?? [])];
  if (!notes.length || place.querySelector(".note-warning, .note-danger")) return;
  for (const note of notes) if (!("toast" in note.dataset)) float(note);
}

function float(note) {
  note.dataset.toast = "";
  const close = document.createElement("button");
  close.type = "button";
  close.className = "btn btn-ghost btn-small btn-only note-close";
  close.setAttribute("aria-label", place.dataset.close);
  close.textContent = "×";
  close.addEventListener("click", () => note.remove());
  note.append(close);
  let left = SHOWN;
  let since = 0;
  let timer = null;
  const go = () => {
    clearTimeout(timer);
    since = Date.now();
    timer = setTimeout(() => note.remove(), left);
  };
  const stay = () => {
    clearTimeout(timer);
    left = Math.max(left - (Date.now() - since), 2_000);
  };
  for (const kind of ["pointerenter", "focusin"]) note.addEventListener(kind, stay);
  for (const kind of ["pointerleave", "focusout"]) note.addEventListener(kind, go);
  go();
}

document.addEventListener("foyer:said", begin);
begin();

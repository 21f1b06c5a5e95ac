// One value changed where it stands: the form takes its place, Enter saves, Escape leaves, and what stood there comes back.
// Reads only data attributes: [data-value] around a value, [data-value-leave] on the way out, [data-saved][data-version]
// in the answer to a save.

const stood = new WeakMap(); // place -> what stood in it before the form came

document.addEventListener("htmx:before:swap", (event) => {
  const place = event.detail.ctx?.target;
  if (!place?.matches?.("[data-value]") || stood.has(place)) return;
  stood.set(place, [...place.childNodes].map(asItWas));
});

function asItWas(node) {
  const copy = node.cloneNode(true);
  copy.classList?.remove("htmx-request");
  return copy;
}

document.addEventListener("htmx:after:swap", (event) => {
  const place = event.detail.ctx?.target;
  if (!place?.matches?.("[data-value]")) return;
  const saved = place.querySelector("[data-saved]");
  if (saved) return accept(place, saved);
  const control = place.querySelector('[aria-invalid="true"], input:not([type="hidden"]), select, textarea');
  control?.focus();
  if (control?.select && control.type !== "checkbox") control.select();
});

document.addEventListener("click", (event) => {
  const leaving = event.target.closest("[data-value-leave]");
  const place = leaving?.closest("[data-value]");
  if (!place || !stood.has(place)) return;
  event.preventDefault();
  leave(place);
});

document.addEventListener("keydown", (event) => {
  const form = event.target.closest?.(".value-form");
  if (!form) return;
  if (event.key === "Escape") {
    event.preventDefault();
    event.stopPropagation();
    leave(form.closest("[data-value]"));
  }
});

function leave(place) {
  place.replaceChildren(...stood.get(place));
  stood.delete(place);
  htmx.process(place);
  settle(place);
}

// The other forms of the page speak of the same record: they must know its new version, or they would be refused.
function accept(place, saved) {
  const { saved: record, version } = saved.dataset;
  saved.remove();
  stood.delete(place);
  for (const field of document.querySelectorAll('input[name="version"]')) {
    const action = field.form?.getAttribute("action") ?? "";
    if (action === record || action.startsWith(`${record}/`)) field.value = version;
  }
  settle(place);
}

function settle(place) {
  place.querySelector(".value-edit")?.focus();
  place.dispatchEvent(new CustomEvent("value:settled", { bubbles: true }));
}

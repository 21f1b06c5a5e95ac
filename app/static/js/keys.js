// Shortcuts: an element with [data-hotkey] is pressed by these keys (@github/hotkey). Who has switched shortcuts off keeps those
// with Ctrl. Ctrl-Enter sends the form one is in.

const quiet = document.documentElement.hasAttribute("data-no-shortcuts");
const known = new WeakSet();

function install(root) {
  for (const element of root.querySelectorAll?.("[data-hotkey]") ?? []) {
    if (known.has(element)) continue;
    known.add(element);
    const keys = element.dataset.hotkey.split(",").filter((one) => !quiet || one.includes("+"));
    if (keys.length) hotkey.install(element, keys.join(","));
  }
}

install(document);
document.addEventListener("foyer:said", () => install(document));
document.addEventListener("htmx:after:swap", () => install(document));

document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  const form = event.target.form ?? event.target.closest?.("form");
  if (!form) return;
  event.preventDefault();
  form.requestSubmit();
});

// The record's page knows the list that one came from; its own address shall know it too, for whatever comes next.
const beside = document.querySelector("[data-here]");
if (beside && !new URLSearchParams(location.search).has("list")) history.replaceState(history.state, "", beside.dataset.here);

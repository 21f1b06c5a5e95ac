// Opens the form of another page in a dialog: a link with [data-dialog], or the event "foyer:open" with its address.
// The page's own form is shown and sent; what it says (a field in error, a duplicate) is shown in its place. Without
// this script the link leads to the page. What was typed stays until it is saved or thrown away on purpose.

let dialog = null;
let opener = null;

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[data-dialog]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  open(link.href, link);
});

document.addEventListener("foyer:open", (event) => {
  event.preventDefault();
  open(event.detail.href, document.activeElement, event.detail);
});

async function open(href, from) {
  opener = from;
  const answer = await fetch(href, { headers: { Accept: "text/html" } });
  if (!show(await read(answer), answer.url)) location.assign(href);
}

async function read(answer) {
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

// The form of a page with its heading; returns whether it has one.
function show(page, url) {
  const form = page.querySelector("#main .form-page");
  const heading = page.querySelector("#main h1");
  if (!form || !heading) return false;
  if (!dialog) {
    dialog = document.createElement("dialog");
    dialog.className = "dialog";
    dialog.setAttribute("aria-labelledby", "dialog-title");
    dialog.addEventListener("submit", send);
    dialog.addEventListener("click", leave);
    dialog.addEventListener("close", () => opener?.isConnected && opener.focus());
    document.body.append(dialog);
  }
  const title = document.createElement("h2");
  title.id = "dialog-title";
  title.className = "dialog-title";
  title.textContent = heading.textContent.trim();
  dialog.replaceChildren(title, document.adoptNode(form));
  for (const one of dialog.querySelectorAll("form:not([action]), form[action='']")) one.action = url;
  if (!dialog.open) dialog.showModal();
  window.htmx?.process(dialog);
  dialog.dispatchEvent(new CustomEvent("foyer:shown", { bubbles: true }));
  scripts(page);
  const first = dialog.querySelector('[aria-invalid="true"], input:not([type="hidden"]), select, textarea');
  first?.focus();
  return true;
}

// What the page would have loaded for its form, such as the pickers.
function scripts(page) {
  for (const one of page.querySelectorAll("#main script[src], body > script[src]")) {
    const src = one.getAttribute("src");
    if (document.querySelector(`script[src="${CSS.escape(src)}"]`)) continue;
    const script = document.createElement("script");
    script.src = src;
    script.async = false;
    document.head.append(script);
  }
}

async function send(event) {
  const form = event.target;
  const button = event.submitter;
  if (form.method !== "post" || event.defaultPrevented) return;
  event.preventDefault();
  if (form.dataset.sending) return;
  form.dataset.sending = "1";
  const body = new FormData(form, button);
  const action = button?.hasAttribute("formaction") ? button.formAction : form.action;
  try {
    const answer = await fetch(action, { method: "POST", body, headers: { Accept: "text/html" } });
    const page = await read(answer);
    if (answer.redirected && answer.ok && !page.querySelector("form[action='/login/']")) return done(page);
    if (!show(page, answer.url)) refused(page);
  } catch {
    refused(null);
  } finally {
    delete form.dataset.sending;
  }
}

// It is saved: the page behind says what the next page would have said, and shows anew what may hold the record.
function done(page) {
  dialog.close();
  const said = page.querySelector("#flashes");
  const place = document.querySelector("#flashes");
  if (said && place) place.replaceChildren(...said.childNodes);
  place?.dispatchEvent(new CustomEvent("foyer:said", { bubbles: true }));
  document.dispatchEvent(new CustomEvent("foyer:changed"));
}

document.addEventListener("foyer:changed", async () => {
  const live = document.querySelectorAll("[data-live][id]");
  if (!live.length) return;
  const page = await read(await fetch(location.href, { headers: { Accept: "text/html" } }));
  for (const one of live) {
    const fresh = page.getElementById(one.id);
    if (!fresh) continue;
    one.replaceWith(fresh);
    window.htmx?.process(fresh);
  }
});

// No form came back: say why above the one that stands, and keep what was typed.
function refused(page) {
  const words = page?.querySelector("#main h1, main h1")?.textContent.trim();
  let note = dialog.querySelector("[data-refused]");
  if (!note) {
    note = document.createElement("p");
    note.dataset.refused = "";
    note.className = "field-error";
    note.setAttribute("role", "alert");
    dialog.querySelector("h2").after(note);
  }
  note.textContent = words || document.querySelector('meta[name="failed"]')?.content || "";
}

function leave(event) {
  const link = event.target.closest("a");
  if (!link || link.target || !link.closest(".form-foot")) return;
  event.preventDefault();
  dialog.close();
}

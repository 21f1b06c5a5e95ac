// Opens the form of another page in a dialog: a link with [data-dialog], or the event "foyer:open" with its address.
// The page's own form is shown and sent; what it answers (a field in error, a likeness, a sign-in because the session has
// ended) is shown in its place, so nothing typed is lost. Without this script the link leads to the page.

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[data-dialog]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  const field = link.dataset.dialogFor ? link.closest(".field").querySelector(`[id="${CSS.escape(link.dataset.dialogFor)}"]`) : null;
  open({ href: link.href, for: field, from: link });
});

document.addEventListener("foyer:open", (event) => {
  event.preventDefault();
  open({ from: document.activeElement, ...event.detail });
});

// wanted: {href, from (what gets the focus back), for (a field that names the new record), text (what was typed there)}
async function open(wanted) {
  let page = null;
  let answer = null;
  try {
    answer = await fetch(wanted.href, { headers: { Accept: "text/html" } });
    page = await read(answer);
  } catch {
    return location.assign(wanted.href);
  }
  const dialog = document.createElement("dialog");
  dialog.className = "dialog";
  dialog.setAttribute("aria-labelledby", `dialog-${document.querySelectorAll("dialog").length}`);
  if (!show(dialog, page, answer.url)) return location.assign(wanted.href);
  const state = { dialog, wanted };
  dialog.addEventListener("submit", (event) => send(event, state));
  dialog.addEventListener("click", (event) => leave(event, dialog));
  dialog.addEventListener("keydown", (event) => event.stopPropagation()); // shortcuts of the page behind are not for here
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (wanted.from?.isConnected) wanted.from.focus();
  });
  if (wanted.text) {
    const first = dialog.querySelector('input[type="text"]:not([data-pick]), input:not([type])');
    if (first && !first.value) first.value = wanted.text;
  }
}

// A page that was fetched; its CSRF token holds from now on, should the session be another one.
async function read(answer) {
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.querySelector('meta[name="csrf-token"]')?.content;
  const meta = document.querySelector('meta[name="csrf-token"]');
  if (fresh && meta && page.querySelector('meta[name="user"]')) {
    meta.content = fresh;
    for (const field of document.querySelectorAll('input[name="csrf_token"]')) field.value = fresh;
  }
  return page;
}

// The form of a page with its heading; returns whether it has one.
function show(dialog, page, url) {
  const form = page.querySelector("#main .form-page, #main.form-page");
  const heading = page.querySelector("#main h1");
  if (!form || !heading) return false;
  const title = document.createElement("h2");
  title.id = dialog.getAttribute("aria-labelledby");
  title.className = "dialog-title";
  title.textContent = heading.textContent.trim();
  dialog.replaceChildren(title, ...[document.adoptNode(form)]);
  for (const old of dialog.querySelectorAll("h1")) old.remove();
  for (const one of dialog.querySelectorAll("form:not([action]), form[action='']")) one.action = url;
  if (!dialog.isConnected) document.body.append(dialog);
  if (!dialog.open) dialog.showModal();
  window.htmx?.process(dialog);
  const first = dialog.querySelector('[aria-invalid="true"]') ?? dialog.querySelector('input:not([type="hidden"]), select, textarea');
  first?.focus();
  dialog.dispatchEvent(new CustomEvent("foyer:shown", { bubbles: true }));
  return true;
}

async function send(event, state) {
  const { dialog, wanted } = state;
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
    const isDone = answer.redirected && answer.ok && page.querySelector('meta[name="user"]');
    if (isDone) done(dialog, page, answer.url, wanted);
    else if (!show(dialog, page, answer.url)) refused(dialog, page);
  } catch {
    refused(dialog, null);
  } finally {
    delete form.dataset.sending;
  }
}

// It is saved: the field or the page behind learns of it, and the page says what the next one would have said.
function done(dialog, page, url, wanted) {
  const number = /\/(\d+)$/.exec(new URL(url).pathname)?.[1];
  const name = page.querySelector("#main h1")?.dataset.name;
  dialog.close();
  if (wanted.for && number && name) {
    const detail = { field: wanted.for, label: `${name} (#${number})` };
    document.dispatchEvent(new CustomEvent("foyer:added", { detail }));
    return;
  }
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
function refused(dialog, page) {
  const words = page?.querySelector("main h1")?.textContent.trim();
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

function leave(event, dialog) {
  const link = event.target.closest("a");
  if (!link || link.target || !link.closest(".form-foot")) return;
  event.preventDefault();
  dialog.close();
}

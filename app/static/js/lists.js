// A list by keyboard and pointer: j and k go from row to row, Enter opens, x selects, e changes a value where it stands.
// Shift selects a range; who has selected the whole page is offered all that match. Reads: [data-edit] around a table (the
// address of its records), th[data-name] (columns whose values may be changed), .pick (the box of a row), .row-link.

const list = document.querySelector(".list");
const rows = () => [...(list?.querySelectorAll("tbody tr") ?? [])];
const lead = (row) => row?.querySelector(".row-link");
const here = () => document.activeElement?.closest?.(".list tbody tr") ?? null;
const typing = (element) => element.closest?.("input:not([type=checkbox]), select, textarea, [contenteditable], dialog");
const quiet = () => document.documentElement.hasAttribute("data-no-shortcuts");

// ---- going about

document.addEventListener("keydown", (event) => {
  if (!list || event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
  const deed = { j: () => go(1), k: () => go(-1), x: select, e: () => edit(first(here())), F2: () => edit(first(here())) }[event.key];
  if (!deed || (quiet() && event.key !== "F2")) return;
  if (deed() !== false) event.preventDefault();
});

function go(step) {
  const all = rows();
  const now = all.indexOf(here());
  const next = now < 0 ? all[step > 0 ? 0 : all.length - 1] : all[now + step];
  if (!next) return;
  lead(next)?.focus();
  next.scrollIntoView({ block: "nearest" });
}

function select() {
  const box = here()?.querySelector(".pick");
  if (!box) return false;
  box.click();
}

// ---- values where they stand

function columns() {
  const heads = [...list.querySelectorAll("thead th")];
  return heads.map((head) => head.dataset.name ?? null);
}

// The row's record; kept, for while its name is changed the link to it is not there.
function keyOf(row) {
  row.dataset.key ??= lead(row)?.pathname.split("/").pop() ?? "";
  return row.dataset.key;
}

function editable(cell) {
  const name = columns()[cell.cellIndex];
  return list.dataset.edit && name && keyOf(cell.parentElement) && !cell.querySelector(".not-visible, .value-form") ? name : null;
}

function first(row) {
  return row && [...row.cells].find((cell) => editable(cell));
}

function edit(cell) {
  const name = cell && editable(cell);
  if (!name) return false;
  const id = keyOf(cell.parentElement);
  cell.dataset.value = "";
  pencil.remove();
  const place = cell.classList.contains("lead") ? "lead" : "cell";
  htmx.ajax("GET", `${list.dataset.edit}/${id}/values/${encodeURIComponent(name)}?place=${place}`, { target: cell, swap: "innerHTML" });
}

// From a value to the next of its row, and back to the row when it is done.
document.addEventListener("keydown", (event) => {
  const form = event.target.closest?.("td > .value-form");
  if (!form || event.key !== "Tab" || event.target.matches("button, a")) return;
  const cells = [...form.closest("tr").cells];
  const way = event.shiftKey ? cells.slice(0, form.closest("td").cellIndex).reverse() : cells.slice(form.closest("td").cellIndex + 1);
  const next = way.find((cell) => editable(cell));
  if (!next) return;
  event.preventDefault();
  form.closest("td").dataset.then = next.cellIndex;
  form.requestSubmit();
});

document.addEventListener("value:settled", (event) => {
  const cell = event.target;
  if (!cell.matches("td")) return;
  const then = cell.dataset.then;
  delete cell.dataset.then;
  delete cell.dataset.value;
  if (then === undefined || !edit(cell.parentElement.cells[then])) lead(cell.parentElement)?.focus();
});

const pencil = document.createElement("button");
pencil.type = "button";
pencil.className = "cell-edit";
pencil.addEventListener("click", (event) => {
  event.stopPropagation();
  edit(pencil.closest("td"));
});

if (list?.dataset.edit) {
  const sprite = document.querySelector(".icon use")?.getAttribute("href").split("#")[0];
  pencil.innerHTML = `<svg class="icon" aria-hidden="true" focusable="false"><use href="${sprite}#pencil"/></svg>`;
  // The link that opens the row lies over all of its cells: what is below the pointer is asked for by its place.
  list.addEventListener("pointermove", (event) => {
    if (event.pointerType === "touch" || event.target === pencil || pencil.contains(event.target)) return;
    const cell = document.elementsFromPoint(event.clientX, event.clientY).find((one) => one.matches("tbody td"));
    if (!cell || cell.contains(pencil)) return;
    if (!editable(cell)) return pencil.remove();
    const head = list.querySelectorAll("thead th")[cell.cellIndex];
    pencil.setAttribute("aria-label", `${document.querySelector('meta[name="edit"]')?.content ?? ""} ${head.textContent.trim()}`.trim());
    cell.append(pencil);
  });
  list.addEventListener("pointerleave", () => pencil.remove());
}

// ---- selecting many

const bar = document.querySelector("#bulk");
let last = null;

if (list && bar) {
  const which = bar.elements.which;
  const boxes = () => [...list.querySelectorAll("tbody .pick")];
  const corner = list.querySelector("thead .pick-cell");
  const all = document.createElement("input");
  all.type = "checkbox";
  all.className = "pick";
  all.setAttribute("aria-label", bar.dataset.page ?? "");
  corner?.append(all);
  const told = bar.querySelector("[data-told]");

  all.addEventListener("change", () => {
    for (const box of boxes()) box.checked = all.checked;
    tell();
  });
  list.addEventListener("click", (event) => {
    const box = event.target.closest?.("tbody .pick");
    if (!box) return;
    const every = boxes();
    if (event.shiftKey && last && last !== box) {
      const [from, to] = [every.indexOf(last), every.indexOf(box)].sort((a, b) => a - b);
      for (const one of every.slice(from, to + 1)) one.checked = box.checked;
    }
    last = box;
    tell();
  });
  bar.querySelector("[data-all]")?.addEventListener("click", () => {
    which.value = "all";
    tell("all");
  });

  const tell = (chosen = "chosen") => {
    const every = boxes();
    const count = every.filter((box) => box.checked).length;
    all.checked = count > 0 && count === every.length;
    all.indeterminate = count > 0 && count < every.length;
    if (count) which.value = chosen;
    bar.toggleAttribute("data-live", count > 0);
    if (told) told.textContent = count ? (chosen === "all" ? bar.dataset.allTold : told.dataset.words.replace("%", count)) : "";
    const more = bar.querySelector("[data-all]");
    if (more) more.hidden = !all.checked || chosen === "all" || !bar.dataset.more;
  };
  tell();
}

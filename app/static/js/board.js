// Moves cards of a board by drag or by keyboard. The server has the last word: a refused move goes back, a lost race
// reloads the board. Reads only data attributes: [data-board] > [data-column][data-stage-id] > [data-cards] >
// [data-card][data-id][data-version][data-move-url]; [data-zone][data-stage-id] > [data-cards] while one drags.

const token = () => document.querySelector('meta[name="csrf-token"]').content;

function start(board) {
  board.dataset.boardLive = "";
  for (const list of board.querySelectorAll("[data-cards]")) {
    Sortable.create(list, {
      group: "cards",
      draggable: "[data-card][data-move-url]",
      filter: "details, details *",
      preventOnFilter: false,
      animation: 120,
      delay: 160,
      delayOnTouchOnly: true,
      ghostClass: "is-ghost",
      dragClass: "is-held",
      onStart: () => board.classList.add("is-dragging"),
      onEnd: (event) => {
        board.classList.remove("is-dragging");
        dropped(board, event);
      },
    });
  }
  for (const grip of board.querySelectorAll("[data-grip]")) grip.hidden = false;
}

// ---- by mouse or finger

function dropped(board, event) {
  const card = event.item;
  if (event.from === event.to && event.oldIndex === event.newIndex) return;
  const before = event.from.children[event.oldIndex + (sinks(event) ? 1 : 0)] ?? null;
  save(board, card, event.to, () => event.from.insertBefore(card, before));
}

// Taken out of its list, a card that moved up leaves the others one place further up than its old index counts.
function sinks(event) {
  return event.from === event.to && event.newIndex < event.oldIndex;
}

// ---- by keyboard: the grip lifts a card, arrows carry it, Enter or the space bar sets it down, Escape puts it back

let lifted = null; // {board, card, from, before}

document.addEventListener("click", (event) => {
  const grip = event.target.closest?.("[data-grip]");
  if (!grip) return;
  if (lifted) setDown();
  else lift(grip.closest("[data-board]"), grip.closest("[data-card]"));
});

document.addEventListener("keydown", (event) => {
  if (!lifted) return;
  const carry = { ArrowLeft: aside(-1), ArrowRight: aside(1), ArrowUp: along(-1), ArrowDown: along(1) }[event.key];
  if (event.key === "Escape" || event.key === "Tab") putBack();
  else if (carry) carry();
  else return;
  if (event.key !== "Tab") event.preventDefault();
  event.stopPropagation();
}, true);

document.addEventListener("focusout", (event) => {
  if (lifted && !lifted.isCarried && lifted.card.contains(event.target)) putBack();
});

function lift(board, card) {
  lifted = { board, card, from: card.parentElement, before: card.nextElementSibling };
  card.classList.add("is-lifted");
  say(board, "lifted", card);
}

function aside(step) {
  return () => {
    const lists = [...lifted.board.querySelectorAll("[data-column] [data-cards]")];
    const list = lists[lists.indexOf(lifted.card.parentElement) + step];
    if (!list) return;
    const place = [...lifted.card.parentElement.children].indexOf(lifted.card);
    carried(() => list.insertBefore(lifted.card, list.children[place] ?? null));
  };
}

function along(step) {
  return () => {
    const { card } = lifted;
    const other = step < 0 ? card.previousElementSibling : card.nextElementSibling;
    if (other) carried(() => (step < 0 ? other.before(card) : other.after(card)));
  };
}

// To move an element takes its focus away for a moment: that is no reason to put it back.
function carried(move) {
  lifted.isCarried = true;
  move();
  lifted.card.querySelector("[data-grip]").focus();
  lifted.isCarried = false;
  lifted.card.scrollIntoView({ block: "nearest", inline: "nearest" });
  say(lifted.board, "at", lifted.card);
}

function putBack() {
  const { board, card, from, before } = lifted;
  const hadFocus = card.contains(document.activeElement);
  lifted.isCarried = true;
  from.insertBefore(card, before);
  card.classList.remove("is-lifted");
  if (hadFocus) card.querySelector("[data-grip]").focus();
  say(board, "back", card);
  lifted = null;
}

function setDown() {
  const { board, card, from, before } = lifted;
  card.classList.remove("is-lifted");
  lifted = null;
  if (card.parentElement === from && card.nextElementSibling === before) return say(board, "back", card);
  save(board, card, card.parentElement, () => {
    from.insertBefore(card, before);
    card.querySelector("[data-grip]").focus();
  });
}

// What a screen reader is told: the sentences stand in the board's data, with {title}, {stage}, {place} and {count}.
function say(board, what, card) {
  const list = card.parentElement;
  const cards = [...list.children];
  const values = {
    title: card.querySelector(".board-title").textContent.trim(),
    stage: list.closest("[data-column]")?.dataset.label ?? "",
    place: cards.indexOf(card) + 1,
    count: cards.length,
  };
  const words = board.dataset[`say${what[0].toUpperCase()}${what.slice(1)}`];
  board.querySelector("[data-board-says]").textContent = words.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

// ---- saving

async function save(board, card, list, undo) {
  card.classList.add("is-saving");
  try {
    const answer = await post(card, wish(card, list));
    const said = await answer.json();
    if (answer.ok) return await accept(board, card, list, said);
    if (answer.status === 409) board = await reload(board);
    else undo();
    if (said.ask) return ask(board, said.ask); // a page that asks what the move needs
    tell(board, said.message);
  } catch {
    // No answer, or one that is no JSON (a sign-in page): nothing is known to be saved, so nothing may look saved.
    undo();
    tell(board, board.dataset.failed);
  } finally {
    card.classList.remove("is-saving");
  }
}

// Where the card is to stand: right before the next card, or else right after the one above it.
function wish(card, list) {
  const fields = new URLSearchParams({
    stage_id: list.closest("[data-stage-id]").dataset.stageId,
    version: card.dataset.version,
    csrf_token: token(),
  });
  const below = list.closest("[data-zone]") ? null : card.nextElementSibling;
  const above = list.closest("[data-zone]") ? null : card.previousElementSibling;
  if (below) fields.set("before_id", below.dataset.id);
  else if (above) fields.set("after_id", above.dataset.id);
  return fields;
}

function post(card, fields) {
  return fetch(card.dataset.moveUrl, {
    method: "POST",
    body: fields,
    headers: { Accept: "application/json", "X-CSRFToken": token() },
  });
}

async function accept(board, card, list, said) {
  tell(board, "");
  notes(said.notes);
  if (list.closest("[data-zone]")) return reload(board);
  const hadFocus = card.contains(document.activeElement);
  card.dataset.version = said.version;
  for (const field of card.querySelectorAll("[data-version-field]")) field.value = said.version;
  for (const field of card.querySelectorAll('[name="stage_id"]')) field.value = list.closest("[data-column]").dataset.stageId;
  for (const [id, column] of Object.entries(said.columns ?? {})) {
    const head = board.querySelector(`[data-column][data-stage-id="${CSS.escape(id)}"]`);
    if (!head) continue;
    head.querySelector("[data-count]").textContent = column.count;
    head.querySelector("[data-sums]").textContent = column.sums ?? "";
  }
  if (hadFocus) say(board, "dropped", card);
}

// What the house says of the deed, with the way to take it back, among the page's messages.
function notes(html) {
  const place = document.querySelector("#flashes");
  if (!place || !html) return;
  const said = new DOMParser().parseFromString(html, "text/html").querySelector("#flashes");
  place.replaceChildren(...(said?.childNodes ?? []));
  place.dispatchEvent(new CustomEvent("foyer:said", { bubbles: true }));
}

// Why a deal is lost is asked in a dialog on this page; where there is none, on a page of its own.
function ask(board, href) {
  const asked = new CustomEvent("foyer:open", { bubbles: true, cancelable: true, detail: { href } });
  if (board.dispatchEvent(asked)) location.assign(href);
}

async function reload(board) {
  const page = await fetch(location.href, { headers: { Accept: "text/html" } });
  const fresh = new DOMParser().parseFromString(await page.text(), "text/html").querySelector("[data-board]");
  if (!fresh) {
    location.reload();
    return board;
  }
  board.replaceWith(fresh);
  start(fresh);
  return fresh;
}

function tell(board, message) {
  const note = board.querySelector("[data-board-message]");
  note.querySelector("p").textContent = message;
  note.hidden = !message;
}

document.addEventListener("foyer:changed", () => {
  const board = document.querySelector("[data-board]");
  if (board) reload(board);
});

for (const board of document.querySelectorAll("[data-board]")) start(board);

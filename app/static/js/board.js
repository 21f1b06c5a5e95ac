// Moves cards of a board by drag. The server has the last word: a refused move goes back, a lost race reloads the board.
// Reads only data attributes: [data-board] > [data-column][data-stage-id] > [data-cards] > [data-card][data-id][data-version][data-move-url].

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
      onEnd: (event) => dropped(board, event),
    });
  }
}

async function dropped(board, event) {
  const card = event.item;
  if (event.from === event.to && event.oldIndex === event.newIndex) return;
  const putBack = () => event.from.insertBefore(card, event.from.children[event.oldIndex + (sinks(event) ? 1 : 0)] ?? null);
  card.classList.add("is-saving");
  try {
    const answer = await post(card, wish(card, event.to));
    const said = await answer.json();
    if (answer.ok) return accept(board, card, event.to, said);
    if (answer.status === 409) await reload(board);
    else putBack();
    if (said.ask) return location.assign(said.ask); // a page that asks what the move needs
    tell(board, said.message);
  } catch {
    // No answer, or one that is no JSON (a sign-in page): nothing is known to be saved, so nothing may look saved.
    putBack();
    tell(board, board.dataset.failed);
  } finally {
    card.classList.remove("is-saving");
  }
}

// Taken out of its list, a card that moved up leaves the others one place further up than its old index counts.
function sinks(event) {
  return event.from === event.to && event.newIndex < event.oldIndex;
}

// Where the card is to stand: right before the next card, or else right after the one above it.
function wish(card, list) {
  const fields = new URLSearchParams({
    stage_id: list.closest("[data-column]").dataset.stageId,
    version: card.dataset.version,
    csrf_token: token(),
  });
  const below = card.nextElementSibling;
  const above = card.previousElementSibling;
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

function accept(board, card, list, said) {
  tell(board, "");
  card.dataset.version = said.version;
  for (const field of card.querySelectorAll("[data-version-field]")) field.value = said.version;
  for (const field of card.querySelectorAll('[name="stage_id"]')) field.value = list.closest("[data-column]").dataset.stageId;
  for (const [id, column] of Object.entries(said.columns ?? {})) {
    const head = board.querySelector(`[data-column][data-stage-id="${CSS.escape(id)}"]`);
    if (!head) continue;
    head.querySelector("[data-count]").textContent = column.count;
    head.querySelector("[data-sums]").textContent = column.sums ?? "";
  }
}

async function reload(board) {
  const page = await fetch(location.href, { headers: { Accept: "text/html" } });
  const fresh = new DOMParser().parseFromString(await page.text(), "text/html").querySelector("[data-board] .board");
  if (!fresh) return location.reload();
  board.querySelector(".board").replaceWith(fresh);
  start(board);
}

function tell(board, message) {
  const note = board.querySelector("[data-board-message]");
  note.querySelector("p").textContent = message;
  note.hidden = !message;
}

for (const board of document.querySelectorAll("[data-board]")) start(board);

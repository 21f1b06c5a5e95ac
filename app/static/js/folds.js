// Makes <details> panels behave as menus: one open at a time, closed by Escape or a click beside it.
const folds = () => document.querySelectorAll("details.fold[open], details.board-move[open]");

document.addEventListener("click", (event) => {
  for (const fold of folds()) {
    if (!fold.contains(event.target)) fold.open = false;
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const fold of folds()) {
    fold.open = false;
    fold.querySelector("summary").focus();
  }
});

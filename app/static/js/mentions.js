// Offers colleagues while one types @ in a field with [data-mentions] (where to ask for them): arrows choose, Enter or Tab
// takes the name, Escape leaves. Without this script a whole name behind an @ does the same.

let list = null; // the open list: {field, box, start, people, chosen}
let asked = 0;

document.addEventListener("input", async (event) => {
  const field = event.target;
  if (!field.matches?.("textarea[data-mentions]")) return;
  const typed = /(?:^|[\s(])@([\p{L}][\p{L} .'’-]{0,40})$/u.exec(field.value.slice(0, field.selectionStart));
  if (!typed) return shut();
  const mine = ++asked;
  const answer = await fetch(`${field.dataset.mentions}?q=${encodeURIComponent(typed[1])}`, { headers: { Accept: "application/json" } });
  if (mine !== asked || !answer.ok) return;
  const people = (await answer.json()).slice(0, 6).map((one) => one.label.replace(/ \(#\d+\)$/, ""));
  if (people.length) offer(field, field.selectionStart - typed[1].length, people);
  else shut();
});

function offer(field, start, people) {
  if (list?.field !== field) {
    shut();
    const box = document.createElement("ul");
    box.className = "mentions";
    box.id = `${field.id}-mentions`;
    box.setAttribute("role", "listbox");
    box.setAttribute("aria-label", field.dataset.mentionsLabel);
    field.after(box);
    field.setAttribute("aria-controls", box.id);
    list = { field, box };
  }
  Object.assign(list, { start, people, chosen: 0 });
  list.box.replaceChildren(
    ...people.map((name, place) => {
      const one = document.createElement("li");
      one.id = `${list.box.id}-${place}`;
      one.setAttribute("role", "option");
      one.textContent = name;
      one.addEventListener("pointerdown", (event) => {
        event.preventDefault();
        take(place);
      });
      return one;
    }),
  );
  choose(0);
}

function choose(place) {
  list.chosen = (place + list.people.length) % list.people.length;
  [...list.box.children].forEach((one, at) => one.setAttribute("aria-selected", String(at === list.chosen)));
  list.field.setAttribute("aria-activedescendant", `${list.box.id}-${list.chosen}`);
}

function take(place) {
  const { field, start, people } = list;
  const end = field.selectionStart;
  field.setRangeText(`${people[place]} `, start, end, "end");
  shut();
  field.focus();
}

function shut() {
  asked += 1;
  if (!list) return;
  list.field.removeAttribute("aria-activedescendant");
  list.field.removeAttribute("aria-controls");
  list.box.remove();
  list = null;
}

document.addEventListener(
  "keydown",
  (event) => {
    if (!list || event.target !== list.field || event.ctrlKey || event.metaKey) return;
    if (event.key === "ArrowDown") choose(list.chosen + 1);
    else if (event.key === "ArrowUp") choose(list.chosen - 1);
    else if (event.key === "Enter" || event.key === "Tab") take(list.chosen);
    else if (event.key === "Escape") shut();
    else return;
    event.preventDefault();
    event.stopPropagation();
  },
  true,
);

document.addEventListener("focusout", (event) => {
  if (list && event.target === list.field) shut();
});

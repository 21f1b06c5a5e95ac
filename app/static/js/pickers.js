// Makes a field that names a record ask the house for more to choose from, as one types, and offer to add a new one.
// Reads only data attributes: input[data-pick] (where to ask), [data-pick-script] (tom-select, loaded when first needed),
// a[data-dialog-for] beside it (the form of a new record). What is typed and not chosen stays as it was typed.

let loading = null;

function load(src) {
  loading ??= new Promise((ready, failed) => {
    const script = document.createElement("script");
    script.src = src;
    script.onload = ready;
    script.onerror = failed;
    document.head.append(script);
  });
  return loading;
}

async function dress(place) {
  const fields = [...(place.querySelectorAll?.("input[data-pick]") ?? [])].filter((one) => !one.tomselect);
  if (!fields.length) return;
  await load(fields[0].dataset.pickScript);
  for (const field of fields) if (!field.tomselect && field.isConnected) picker(field);
}

const folded = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();

function picker(field) {
  const hadFocus = document.activeElement === field;
  const begun = hadFocus && field.value !== field.defaultValue ? field.value : ""; // typed before this script had come
  let answered = ""; // the words that what is shown answers
  let hurried = null; // Enter, pressed before the answer was there
  const adder = field.closest(".field")?.querySelector("a[data-dialog-for]");
  field.removeAttribute("list");
  if (begun) field.value = "";
  if (field.labels?.length) field.setAttribute("aria-label", field.labels[0].textContent.replace(/\*$/, "").trim()); // the label goes over to the box
  const picked = new TomSelect(field, {
    maxItems: 1,
    delimiter: "\u0001", // names hold commas
    valueField: "label",
    labelField: "label",
    searchField: ["label"],
    // What fits, the house decides; till it has answered, what it has sent before is looked through.
    score: (words) => (one) => (!words || one.words === words || folded(one.label).includes(folded(words)) ? 1 : 0),
    preload: "focus",
    shouldLoad: () => true,
    refreshThrottle: 0,
    loadThrottle: 200,
    maxOptions: 30,
    createOnBlur: true,
    addPrecedence: false,
    closeAfterSelect: true,
    load(words, show) {
      this.loadedSearches = {}; // each answer takes the place of the one before, so the same words are asked for again
      fetch(`${field.dataset.pick}?q=${encodeURIComponent(words)}`, { headers: { Accept: "application/json" } })
        .then((answer) => (answer.ok ? answer.json() : []))
        .then((found) => {
          if (words !== this.inputValue()) return show([]); // more was typed meanwhile, and has an answer of its own
          answered = words;
          for (const value of Object.keys(this.options)) if (!this.items.includes(value)) this.removeOption(value, true);
          show(found.map((one) => ({ ...one, words })));
        })
        .catch(() => {
          answered = words;
          show([]);
        });
    },
    create(text, done) {
      if (!this.isFocused || !adder) return done({ label: text }); // left as it was typed: the house finds it, or says so
      this.setTextboxValue("");
      this.close();
      done();
      add(adder, field, text);
    },
    render: {
      option: (one, escape) => `<div>${escape(one.label)}</div>`,
      item: (one, escape) => `<div>${escape(one.label)}</div>`,
      option_create: (one, escape) =>
        `<div class="create">${escape(adder ? field.dataset.pickAdd.replace("{text}", one.input) : one.input)}</div>`,
      no_results: () => `<div class="no-results"></div>`,
      loading: () => "",
    },
  });
  for (const name of ["aria-invalid", "aria-describedby"]) {
    if (field.hasAttribute(name)) picked.control_input.setAttribute(name, field.getAttribute(name));
  }
  // Enter means what the house finds for these words, not what happens to stand there until it has answered.
  picked.wrapper.addEventListener(
    "keydown",
    (event) => {
      hurried = null;
      const words = picked.inputValue();
      if (event.key === "ArrowDown" || event.key === "ArrowUp") answered = words; // chosen from what stands there
      if (event.key !== "Enter" || !words || words === answered) return;
      event.preventDefault();
      event.stopPropagation();
      hurried = event;
    },
    true,
  );
  picked.on("load", () => {
    if (!hurried || picked.inputValue() !== answered) return;
    picked.onKeyDown(hurried);
    hurried = null;
  });
  if (begun) picked.wrapper.classList.add("preloaded"); // or what the focus asks for would take the place of these words
  if (hadFocus) picked.focus();
  if (begun) {
    picked.control_input.value = begun;
    picked.control_input.dispatchEvent(new Event("input", { bubbles: true }));
  }
}

function add(adder, field, text) {
  const detail = { href: adder.href, text, for: field };
  adder.dispatchEvent(new CustomEvent("foyer:open", { bubbles: true, cancelable: true, detail }));
}

// A record was added in a dialog that was opened from a field: it is what the field names now.
document.addEventListener("foyer:added", (event) => {
  const { field, label } = event.detail;
  if (field.tomselect) {
    field.tomselect.addOption({ label });
    field.tomselect.setValue(label);
    field.tomselect.focus();
  } else {
    field.value = label;
    field.focus();
  }
});

dress(document);
document.addEventListener("htmx:after:swap", () => dress(document));
document.addEventListener("foyer:shown", (event) => dress(event.target));

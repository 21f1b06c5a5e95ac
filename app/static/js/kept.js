// Brings what was typed before the session ended back to its form without another click. Only forms that store nothing
// carry [data-send-at-once]: they are shown again, filled.
const sendAtOnce = (place) => place.querySelector("form[data-send-at-once]")?.requestSubmit();

sendAtOnce(document);
document.addEventListener("foyer:shown", (event) => sendAtOnce(event.target));

// htmx marks a page in the history when the first part of it has been fetched; marked at once, nothing moves later.
if (!history.state?.htmx) history.replaceState({ htmx: true }, "", location.href);

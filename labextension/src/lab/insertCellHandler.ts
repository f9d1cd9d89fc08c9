import type { Documents } from "./documents";

/** The event that requests a new cell, from any place that shows the widget. */
const INSERT = "sspcloud:insert-cell";

/** Insert the requested cell into the notebook that contains the widget, else into the one in front. */
export function handleInsertCell(documents: Documents): void {
  document.addEventListener(INSERT, (event) => {
    const source = (event as CustomEvent<{ source?: unknown }>).detail.source;
    const into = documents.findAround(event.target);
    if (typeof source !== "string" || !into) return;
    into.insert(source);
    event.preventDefault();
  });
}

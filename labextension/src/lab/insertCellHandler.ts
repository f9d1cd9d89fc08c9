import type { Documents } from "./documents";

/** The event with which the widget asks for a new cell, wherever it is shown. */
const INSERT = "sspcloud:insert-cell";

/** Put what the widget asks for into the notebook that it is in, else into the one in front. */
export function handleInsertCell(documents: Documents): void {
  document.addEventListener(INSERT, (event) => {
    const source = (event as CustomEvent<{ source?: unknown }>).detail.source;
    const into = documents.around(event.target);
    if (typeof source !== "string" || !into) return;
    into.insert(source);
    event.preventDefault();
  });
}

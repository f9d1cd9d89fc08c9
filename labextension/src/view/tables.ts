/** Sections and tables, with explicit roles, because a narrow panel lays them out as blocks. */

import { cls, h, type Content } from "./dom";
import { plainButton, prose, trouble } from "./components";
import { t, type ViewContext } from "./context";

/** Number of rows above which a table scrolls, and takes the focus to scroll by keyboard. */
const SCROLLS = 12;
/** The index of the column that names the row. */
const NAMING = 1;

export function section(context: ViewContext, name: string, ...content: Content[]): HTMLElement {
  const id = `${context.id}-${name}`;
  return h(
    "section",
    { class: cls("section"), "data-key": name, "data-section": name, "aria-labelledby": id },
    h("h3", { id, tabindex: "-1" }, t(context, name)),
    content,
  );
}

/** A table; its name and its headings are keys of `i18n`. */
export function table(
  context: ViewContext,
  name: string,
  headings: string[],
  rows: HTMLElement[],
): HTMLElement {
  const label = t(context, name);
  const scrolls = rows.length > SCROLLS && { tabindex: "0", role: "group", "aria-label": label };
  const head = headings.map((key) => h("th", { role: "columnheader", scope: "col" }, t(context, key)));
  return h(
    "div",
    { class: cls("scroll"), "data-key": `table ${name}`, "data-scrolls": name, ...(scrolls || {}) },
    h(
      "table",
      { role: "table", "aria-label": label, class: cls(`table-${name}`) },
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, head)),
      h("tbody", { role: "rowgroup" }, rows),
    ),
  );
}

/** A row; `below` is put into the cell that names the row. */
export function row(key: string, cells: Content[], below?: Content): HTMLElement {
  return h(
    "tr",
    { role: "row", "data-key": key },
    cells.map((cell, index) =>
      index === NAMING
        ? h("th", { role: "rowheader", scope: "row" }, cell, below)
        : h("td", { role: "cell" }, cell),
    ),
  );
}

/** A cell that changes more often than the rest of its row: its index, the number of cells, its data, its content. */
export interface MovingCell {
  at: number;
  of: number;
  shows: unknown;
  draw: () => Content;
}

/**
 * A row that is rendered only if its data has changed: of 500 rows, few change at a time.
 *
 * `drawnFrom` is all data of the row, except for the moving cell. `morph` does not touch a row with the same data.
 */
export function steadyRow(
  context: ViewContext,
  key: string,
  drawnFrom: unknown,
  draw: () => HTMLElement,
  moving?: MovingCell,
): HTMLElement {
  const from = JSON.stringify([context.language, drawnFrom]);
  const shows = moving ? JSON.stringify(moving.shows) : null;
  const standing = context.rows.get(key);
  let drawn: HTMLElement;
  if (standing?.from !== from) drawn = draw();
  else if (!moving || standing.shows === shows) return h("tr", { "data-key": key, "data-same": true });
  else drawn = h("tr", { role: "row", "data-key": key }, movingCells(moving));
  drawn.setAttribute("data-from", from);
  if (shows !== null) drawn.setAttribute("data-shows", shows);
  return drawn;
}

/** The cells of a row of which only the moving one is rendered. */
function movingCells({ at, of, draw }: MovingCell): Content {
  return Array.from({ length: of }, (_, index) =>
    index === at
      ? h("td", { role: "cell" }, draw())
      : h(index === NAMING ? "th" : "td", { "data-same": true }),
  );
}

/** Number of rows rendered at first, and added at each step: more than fit before the table scrolls. */
export const STEP = 20;

/** The rendered part of a long list. */
export function visibleRows<Fact>(context: ViewContext, name: string, all: Fact[]): Fact[] {
  return all.slice(0, context.limits.get(name) ?? STEP);
}

/** The number of rendered rows, and a button that adds more; scrolling to the end does the same. */
export function showMore(context: ViewContext, name: string, all: number): Content {
  const shown = context.limits.get(name) ?? STEP;
  if (all <= shown) return null;
  return h(
    "p",
    { class: cls("row"), "data-key": `more ${name}` },
    h("span", { class: cls("faint") }, t(context, "shownOf", { shown, all })),
    plainButton(t(context, "showMore"), { class: cls("button", "quiet"), "data-more": name }),
  );
}

/** A cell that shows its heading before it in a narrow panel. */
export function labelledCell(context: ViewContext, key: string, text: string): HTMLElement {
  return h("span", { class: cls("number", "labelled"), "data-label": t(context, key) }, text);
}

export function empty(text: string): HTMLElement {
  return h("p", { class: cls("empty") }, prose(text));
}

/** The content in place of an empty table: an error, or a sentence. */
export function placeholder(
  context: ViewContext,
  source: string,
  count: number,
  sentence: string,
): HTMLElement | null {
  const told = context.store.get("source", source);
  if (told && told !== true) return h("div", { class: cls("failure") }, trouble(context, told));
  if (count) return null;
  return told ? empty(sentence) : h("p", { class: cls("note") }, t(context, "asking"));
}

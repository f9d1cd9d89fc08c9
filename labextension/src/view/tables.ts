/** Sections and tables: real ones, whose roles are said because a narrow panel sets them as blocks. */

import { cls, h, type Content } from "./dom";
import { plainButton, prose, trouble } from "./components";
import { t, type ViewContext } from "./context";

/** Rows from which on a table scrolls, and takes the focus for it. */
const SCROLLS = 12;
/** The column of a row that names it. */
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

/** A table; its headings are words, and so is its name. */
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

/** A row; what stands below belongs to the cell that names it. */
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

/** A cell that changes more often than the rest of its row: its place among how many, what it shows, and how. */
export interface Moving {
  at: number;
  of: number;
  shows: unknown;
  draw: () => Content;
}

/**
 * A row that is drawn only where something differs from what it was drawn from: of 500, few do at a time.
 *
 * `drawnFrom` is all that the row shows, but for the cell that moves; what stands in the page for the same is left
 * alone by `morph`.
 */
export function steadyRow(
  context: ViewContext,
  key: string,
  drawnFrom: unknown,
  draw: () => HTMLElement,
  moving?: Moving,
): HTMLElement {
  const from = JSON.stringify([context.language, drawnFrom]);
  const shows = moving ? JSON.stringify(moving.shows) : null;
  const standing = context.rows.get(key);
  let drawn: HTMLElement;
  if (standing?.from !== from) drawn = draw();
  else if (!moving || standing.shows === shows) return h("tr", { "data-key": key, "data-same": true });
  else drawn = h("tr", { role: "row", "data-key": key }, aroundIt(moving));
  drawn.setAttribute("data-from", from);
  if (shows !== null) drawn.setAttribute("data-shows", shows);
  return drawn;
}

/** The cells of a row of which only the moving one is drawn. */
function aroundIt({ at, of, draw }: Moving): Content {
  return Array.from({ length: of }, (_, index) =>
    index === at
      ? h("td", { role: "cell" }, draw())
      : h(index === NAMING ? "th" : "td", { "data-same": true }),
  );
}

/** Rows of a long table that are drawn at first, and once more with each step: more than it shows before it scrolls. */
export const STEP = 20;

/** The part of a long list that is drawn. */
export function drawn<Fact>(context: ViewContext, name: string, all: Fact[]): Fact[] {
  return all.slice(0, context.limits.get(name) ?? STEP);
}

/** How many are not drawn yet, with a button that draws more; scrolling to the end does it, too. */
export function more(context: ViewContext, name: string, all: number): Content {
  const shown = context.limits.get(name) ?? STEP;
  if (all <= shown) return null;
  return h(
    "p",
    { class: cls("row"), "data-key": `more ${name}` },
    h("span", { class: cls("faint") }, t(context, "shownOf", { shown, all })),
    plainButton(t(context, "showMore"), { class: cls("button", "quiet"), "data-more": name }),
  );
}

/** A cell whose heading is said before it where the panel is narrow. */
export function labelled(context: ViewContext, key: string, text: string): HTMLElement {
  return h("span", { class: cls("number", "labelled"), "data-label": t(context, key) }, text);
}

export function empty(text: string): HTMLElement {
  return h("p", { class: cls("empty") }, prose(text));
}

/** What stands where a table would, while there is none: why it could not be asked, or that there is nothing. */
export function instead(
  context: ViewContext,
  look: string,
  count: number,
  sentence: string,
): HTMLElement | null {
  const told = context.store.get("look", look);
  if (told && told !== true) return h("div", { class: cls("failure") }, trouble(context, told));
  if (count) return null;
  return told ? empty(sentence) : h("p", { class: cls("note") }, t(context, "asking"));
}

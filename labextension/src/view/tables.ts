/** Tables, with explicit roles, because a narrow dialog lays them out as blocks. */

import { cls, h, type Content } from "./dom";
import { t, type ViewContext } from "./context";

/** The index of the column that names the row. */
const NAMING = 1;

/** A table; its name and its headings are keys of `i18n`. */
export function table(
  context: ViewContext,
  name: string,
  headings: string[],
  rows: HTMLElement[],
): HTMLElement {
  const label = t(context, name);
  const head = headings.map((key) => h("th", { role: "columnheader", scope: "col" }, t(context, key)));
  return h(
    "div",
    { class: cls("scroll"), "data-key": `table ${name}` },
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

/** A cell that shows its heading before it in a narrow panel, if it has a value. */
export function labelledCell(context: ViewContext, key: string, text: string): HTMLElement {
  return h("span", { class: cls("number", "labelled"), "data-label": text && t(context, key) }, text);
}

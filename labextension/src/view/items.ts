/** Sections that fold, and lists with one line for each thing. */

import { cls, h, type Attributes, type Content } from "./dom";
import { plainButton, prose, shape, trouble } from "./components";
import { t, type ViewContext } from "./context";
import { icon, type IconName } from "./icons";
import type { Tone } from "./protocol";

/** A section with its number of things; a click on its title folds it. An empty one is a line, which unfolds to a hint. */
export function section(
  context: ViewContext,
  name: string,
  count: number | null,
  ...content: Content[]
): HTMLElement {
  const id = `${context.id}-${name}`;
  const isEmpty = count === 0;
  const isFolded = context.folded.has(name) && !isEmpty;
  const isExpanded = isEmpty ? context.folded.has(hintKey(name)) : !isFolded;
  return h(
    "section",
    { class: cls("section"), "data-key": name, "data-section": name, "aria-labelledby": id },
    h(
      "h3",
      {},
      h(
        "button",
        {
          type: "button",
          class: cls("fold"),
          "data-fold": isEmpty ? hintKey(name) : name,
          "aria-expanded": String(isExpanded),
          "aria-controls": `${id}-content`,
        },
        h("span", { class: cls("caret"), "aria-hidden": "true" }),
        h("span", { id }, t(context, name)),
        " ", // for the accessible name
        count !== null &&
          h("span", { class: cls("count") }, isEmpty ? t(context, `none.${name}`) : String(count)),
      ),
    ),
    h(
      "div",
      { class: cls("content"), id: `${id}-content`, "data-key": "content", hidden: isFolded },
      !isFolded && content,
    ),
  );
}

/** The key under which the hint of an empty section is unfolded. */
function hintKey(name: string): string {
  return `hint ${name}`;
}

/** The number of things of a section, where it is known. */
export function knownCount(context: ViewContext, source: string, count: number): number | null {
  return context.store.get("source", source) === true ? count : null;
}

export function list(context: ViewContext, name: string, items: Content[]): HTMLElement {
  return h(
    "ul",
    { class: cls("list"), "data-key": `list ${name}`, "aria-label": t(context, name), role: "list" },
    items,
  );
}

/** An action on a thing: an icon with a tooltip, or an entry of the menu. */
export interface Action {
  /** The text of the entry, and the tooltip. */
  readonly label: string;
  /** The accessible name, which says of what; by default the text. */
  readonly name?: string;
  readonly icon: IconName;
  readonly attributes: Attributes;
}

export interface Item {
  readonly tone?: Tone;
  /** The word for the state; shown unless everything is well. */
  readonly state?: string;
  readonly title: string;
  readonly detail?: Content;
  /** Numbers and dates, at the end of the line. */
  readonly meta?: Content;
  /** Buttons with a text, which are always visible; at most one main button. */
  readonly buttons?: Content;
  /** Actions as icons, visible on hover and focus. */
  readonly icons?: readonly (Action | false | null)[];
  /** Actions behind the last icon. */
  readonly menu?: readonly (Action | false | null)[];
  /** Errors, confirmations and reasons below the line. */
  readonly below?: Content;
}

/** A thing in one line. */
export function item(context: ViewContext, key: string, shown: Item): HTMLElement {
  const { tone, state, title, detail, meta, buttons, below } = shown;
  const icons = (shown.icons ?? []).filter((each) => each !== false && each !== null);
  const entries = (shown.menu ?? []).filter((each) => each !== false && each !== null);
  const isWell = tone === "good";
  const line = [title, !isWell && state && ` ${state}`, detail && [" ", detail]];
  return h(
    "li",
    { class: cls("item"), "data-key": key },
    h(
      "div",
      { class: cls("line"), "data-key": "line" },
      tone && h("span", { class: cls("mark"), title: state ?? "" }, shape(tone)),
      h(
        "span",
        { class: cls("title"), title: h("span", {}, line).textContent },
        state && h("span", { class: cls("hidden") }, `${state} `),
        h("span", { class: cls("name") }, title),
        state && !isWell && h("span", { class: cls("faint"), "aria-hidden": "true" }, ` ${state}`),
        detail && h("span", { class: cls("faint") }, " ", detail),
      ),
      h(
        "span",
        { class: cls("tail") },
        meta && h("span", { class: cls("meta"), "data-moving": true }, meta),
        (icons.length > 0 || entries.length > 0) &&
          h(
            "span",
            { class: cls("icons"), "data-key": "icons" },
            icons.map((action) => iconButton(action)),
            entries.length > 0 && menuButton(context, key, title, entries),
          ),
      ),
      buttons,
    ),
    below,
  );
}

/** An action as an icon; one with an address is a link. */
function iconButton({ label, name = label, icon: sign, attributes }: Action): HTMLElement {
  const all = { class: cls("button", "iconbutton"), title: label, "aria-label": name, ...attributes };
  return "href" in attributes ? h("a", all, icon(sign)) : plainButton(icon(sign), all);
}

/** The button that opens the menu of a thing; its entries are in an attribute, and `view.ts` draws them. */
function menuButton(context: ViewContext, key: string, title: string, entries: Action[]): HTMLElement {
  return plainButton(icon("more"), {
    class: cls("button", "iconbutton"),
    title: t(context, "more"),
    "aria-label": t(context, "moreNamed", { name: title }),
    "aria-haspopup": "menu",
    "aria-expanded": String(context.menu === key),
    "data-menu": key,
    "data-entries": JSON.stringify(entries),
    "data-key": `menu ${key}`,
  });
}

/** The entries of an open menu. */
export function menuEntries(entries: readonly Action[]): HTMLElement[] {
  return entries.map(({ label, name, icon: sign, attributes }) =>
    h(
      "button",
      {
        type: "button",
        role: "menuitem",
        tabindex: "-1",
        class: cls("entry"),
        "aria-label": name ?? label,
        ...attributes,
      },
      icon(sign),
      h("span", {}, label),
    ),
  );
}

/** The numbers of an item that change more often than the rest: their data, and their content. */
export interface MovingPart {
  readonly shows: unknown;
  readonly draw: () => Content;
}

/**
 * An item that is rendered only if its data has changed: of 500, few change at a time.
 *
 * `drawnFrom` is all data of the item, except for the moving part. `morph` does not touch an item with the same data.
 */
export function steadyItem(
  context: ViewContext,
  key: string,
  drawnFrom: unknown,
  draw: () => HTMLElement,
  moving?: MovingPart,
): HTMLElement {
  const from = JSON.stringify([context.language, context.menu === key, drawnFrom]);
  const shows = moving ? JSON.stringify(moving.shows) : "";
  const before = context.rows.get(key);
  if (before?.from === from) {
    if (!moving || before.shows === shows) return h("li", { "data-key": key, "data-same": true });
    const part = h("span", { class: cls("meta"), "data-moving": true }, moving.draw());
    return h("li", { "data-key": key, "data-part": true, "data-shows": shows }, part);
  }
  const drawn = draw();
  drawn.setAttribute("data-from", from);
  drawn.setAttribute("data-shows", shows);
  return drawn;
}

/** Number of items rendered at first, and added at each step. */
export const STEP = 20;

/** The rendered part of a long list. */
export function visibleItems<Value>(context: ViewContext, name: string, all: Value[]): Value[] {
  return all.slice(0, context.limits.get(name) ?? STEP);
}

/** The number of rendered items, and a button that adds more. */
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

/** Number of things from which a section has a filter. */
export const FILTERED_FROM = 8;

export function filterBox(context: ViewContext, name: string, count: number): Content {
  const value = context.filters.get(name) ?? "";
  if (count < FILTERED_FROM && !value) return null;
  const label = t(context, "filter");
  return h("input", {
    type: "search",
    class: cls("input", "filter"),
    "data-key": `filter ${name}`,
    "data-filter": name,
    placeholder: label,
    "aria-label": `${label}: ${t(context, name)}`,
  });
}

/** The things whose texts contain the filter. */
export function filtered<Value>(
  context: ViewContext,
  name: string,
  all: Value[],
  text: (each: Value) => string,
): Value[] {
  const wanted = (context.filters.get(name) ?? "").trim().toLowerCase();
  return wanted ? all.filter((each) => text(each).toLowerCase().includes(wanted)) : all;
}

export function empty(text: string): HTMLElement {
  return h("p", { class: cls("empty") }, prose(text));
}

/** The sentence of an empty section, once its line is unfolded. */
export function hint(context: ViewContext, name: string, text: string): Content {
  return context.folded.has(hintKey(name)) && empty(text);
}

/** The content in place of an empty list: an error, or a sentence. */
export function placeholder(context: ViewContext, source: string, count: number, sentence: string): Content {
  const told = context.store.get("source", source);
  if (told && told !== true) return h("div", { class: cls("failure") }, trouble(context, told));
  if (count) return null;
  return told ? hint(context, source, sentence) : h("p", { class: cls("note") }, t(context, "asking"));
}

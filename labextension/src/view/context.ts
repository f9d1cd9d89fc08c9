/** What a section is drawn from: the facts, the language, and what this one view remembers. */

import type { Dialog } from "./dialogs";
import type { Store } from "./store";
import { translate, type Language, type Values } from "./i18n";

export interface ViewContext {
  readonly store: Store;
  readonly language: Language;
  /** The view's own, for the ids of its elements. */
  readonly id: string;
  /** When the view began, in milliseconds. */
  readonly began: number;
  /** What the filter box holds. */
  readonly filter: string;
  /** The share whose end is asked about. */
  readonly question: string;
  /** What was copied a moment ago. */
  readonly copied: string;
  /** The dialog that is open. */
  readonly dialog: Dialog | null;
  /** The table whose columns are shown in it. */
  readonly expanded: string;
  /** What its form asks for, as JSON: a preview of something else is none. */
  readonly shareRequest: string;
  /** What the preview was asked for, likewise. */
  readonly previewed: string;
  /** The rows that are in the page, by their keys. */
  readonly rows: ReadonlyMap<string, RenderedRow>;
  /** How many rows of a long table are drawn; more are when they are scrolled to. */
  readonly limits: ReadonlyMap<string, number>;
}

/** From what a row was drawn, and its cell that moves. */
export interface RenderedRow {
  from: string;
  shows: string | null;
}

/** A sentence in the context's language. */
export function t(context: ViewContext, key: string, values: Values = {}): string {
  return translate(context.language, key, values);
}

/** The namespace that one is in. */
export function namespace(context: ViewContext): string {
  return context.store.one("who")?.namespace ?? "";
}

/** A target without what goes without saying in one's own namespace. */
export function own(context: ViewContext, target: string): string {
  const mine = `${namespace(context)}/`;
  return target.startsWith(mine) ? target.slice(mine.length) : target;
}

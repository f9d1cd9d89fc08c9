/** The input of each section: the snapshots, the language, and the state of this view. */

import type { Dialog } from "./dialog";
import type { ShareRequest } from "./protocol";
import type { Store } from "./store";
import { translate, type Language, type Values } from "./i18n";

export interface ViewContext {
  readonly store: Store;
  readonly language: Language;
  /** A unique prefix for the ids of the view's elements. */
  readonly id: string;
  /** The time of the view's creation, in milliseconds. */
  readonly began: number;
  /** The text of the filter box. */
  readonly filter: string;
  /** The name of the open confirmation. */
  readonly question: string;
  /** The text that was copied a moment ago. */
  readonly copied: string;
  /** The open dialog. */
  readonly dialog: Dialog | null;
  /** The table whose columns the dialog shows. */
  readonly expanded: string;
  /** The request in the share form; null before the first input. */
  readonly shareRequest: ShareRequest | null;
  /** The request of the preview, if there is one. */
  readonly previewed: ShareRequest | null;
  /** The rows in the page, by their keys. */
  readonly rows: ReadonlyMap<string, RenderedRow>;
  /** The number of rendered rows of each long table; scrolling adds more. */
  readonly limits: ReadonlyMap<string, number>;
}

/** The data that a row was rendered from, and the data of its frequently changing cell. */
export interface RenderedRow {
  from: string;
  shows: string | null;
}

/** A sentence in the view's language. */
export function t(context: ViewContext, key: string, values: Values = {}): string {
  return translate(context.language, key, values);
}

/** The current namespace. */
export function currentNamespace(context: ViewContext): string {
  return context.store.single("who")?.namespace ?? "";
}

/** A target without the prefix of the current namespace. */
export function shortTarget(context: ViewContext, target: string): string {
  const mine = `${currentNamespace(context)}/`;
  return target.startsWith(mine) ? target.slice(mine.length) : target;
}

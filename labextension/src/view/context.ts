/** The input of each section: the snapshots, the language, and the state of this view. */

import type { Dialog } from "./dialog";
import type { ServiceShareRequest, ShareRequest } from "./protocol";
import type { Store } from "./store";
import { translate, type Language, type Values } from "./i18n";

export interface ViewContext {
  readonly store: Store;
  readonly language: Language;
  /** The panel as text, as it was when its cell ran; and whether the page has a kernel. */
  readonly staticText: string;
  readonly hasKernel: boolean;
  /** A unique prefix for the ids of the view's elements. */
  readonly id: string;
  /** The time of the view's creation, in milliseconds. */
  readonly began: number;
  /** The texts of the filters, by the names of their sections. */
  readonly filters: ReadonlyMap<string, string>;
  /** The names of the folded sections. */
  readonly folded: ReadonlySet<string>;
  /** The key of the item whose menu is open; empty without one. */
  readonly menu: string;
  /** The name of the open confirmation. */
  readonly question: string;
  /** The text that was copied a moment ago. */
  readonly copied: string;
  /** The open dialog. */
  readonly dialog: Dialog | null;
  /** The table whose columns the dialog shows. */
  readonly expanded: string;
  /** The request in the share form; null before the first input. */
  readonly shareRequest: ShareRequest | ServiceShareRequest | null;
  /** The request of the preview, if there is one. */
  readonly previewed: ShareRequest | ServiceShareRequest | null;
  /** The items in the page, by their keys, with the data that they were rendered from. */
  readonly rows: ReadonlyMap<string, RenderedItem>;
  /** The number of rendered items of each long list. */
  readonly limits: ReadonlyMap<string, number>;
}

/** The data that an item was rendered from, and that of its moving part. */
export interface RenderedItem {
  readonly from: string;
  readonly shows: string;
}

/** A sentence in the view's language. */
export function t(context: ViewContext, key: string, values: Values = {}): string {
  return translate(context.language, key, values);
}

/** The current namespace. */
/** The name of a group, as an example. */
export function exampleGroup(context: ViewContext): string {
  return `${context.store.single("platform")?.groups ?? ""}x`;
}

export function currentNamespace(context: ViewContext): string {
  return context.store.single("who")?.namespace ?? "";
}

/** A target without the prefix of the current namespace. */
export function shortTarget(context: ViewContext, target: string): string {
  const mine = `${currentNamespace(context)}/`;
  return target.startsWith(mine) ? target.slice(mine.length) : target;
}

/** The state of the document in front: a link for each document that was there, kept as long as the document. */

import type { IDisposable } from "@lumino/disposable";
import { Signal, type ISignal } from "@lumino/signaling";
import type { Documents } from "./documents";
import { KernelLink } from "./link";
import type { State } from "./state";

/** What is to be shown, and through which link it was found; none where there is no document. */
export interface Situation {
  readonly state: State;
  readonly link: KernelLink | null;
}

const NOTHING: Situation = { state: { kind: "no-document" }, link: null };

export class Follower implements IDisposable {
  private readonly links = new Map<unknown, KernelLink>();
  private readonly changes = new Signal<this, Situation>(this);
  private now = NOTHING;

  constructor(readonly documents: Documents) {
    documents.changed.connect(this.update, this);
    this.update();
  }

  /** Emitted when there is something else to show. */
  get changed(): ISignal<this, Situation> {
    return this.changes;
  }

  get situation(): Situation {
    return this.now;
  }

  get isDisposed(): boolean {
    return this.disposed;
  }
  private disposed = false;

  dispose(): void {
    this.disposed = true;
    for (const link of this.links.values()) link.dispose();
    Signal.clearData(this);
  }

  private update(): void {
    const link = this.link();
    const found = link ? this.resolved(link) : NOTHING;
    if (found.link === this.now.link && found.state === this.now.state) return;
    this.now = found;
    this.changes.emit(found);
  }

  /** The link of the document in front, made where it is there for the first time. */
  private link(): KernelLink | null {
    const document = this.documents.current;
    if (!document) return null;
    const known = this.links.get(document.widget);
    if (known) return known;
    const made = new KernelLink(document);
    this.links.set(document.widget, made);
    made.changed.connect(this.update, this);
    document.widget.disposed.connect(() => {
      this.links.delete(document.widget);
      made.dispose();
      this.update();
    }, this);
    return made;
  }

  /** Another document may hold the widgets of the same kernel, as a notebook does for its console. */
  private resolved(link: KernelLink): Situation {
    const { state } = link;
    if (state.kind !== "shared") return { state, link };
    const holder = [...this.links.values()].find(
      (each) => each.document.session.session?.kernel?.id === state.kernelId && each.state.kind !== "shared",
    );
    return holder ? { state: holder.state, link: holder } : { state, link };
  }
}

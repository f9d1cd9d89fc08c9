/** The kernel state of the document in front, with one `KernelComm` per document, kept as long as the document. */

import type { IDisposable } from "@lumino/disposable";
import { Signal, type ISignal } from "@lumino/signaling";
import type { Documents } from "./documents";
import { KernelComm } from "./kernelComm";
import type { PageLanguages } from "./language";
import type { State } from "./state";

/** The state to show, and the `KernelComm` that reports it; null without a document. */
export interface TrackedState {
  readonly state: State;
  readonly kernelComm: KernelComm | null;
}

const NOTHING: TrackedState = { state: { kind: "no-document" }, kernelComm: null };

export class KernelTracker implements IDisposable {
  private readonly comms = new Map<unknown, KernelComm>();
  private readonly changes = new Signal<this, TrackedState>(this);
  private now = NOTHING;

  constructor(
    readonly documents: Documents,
    private readonly languages: () => PageLanguages,
  ) {
    documents.changed.connect(this.update, this);
    this.update();
  }

  /** Emitted when the state to show changes. */
  get changed(): ISignal<this, TrackedState> {
    return this.changes;
  }

  get current(): TrackedState {
    return this.now;
  }

  get isDisposed(): boolean {
    return this.disposed;
  }
  private disposed = false;

  dispose(): void {
    this.disposed = true;
    for (const kernelComm of this.comms.values()) kernelComm.dispose();
    Signal.clearData(this);
  }

  /** Report changed languages of the page to all kernels. */
  sendLanguages(): void {
    for (const kernelComm of this.comms.values()) kernelComm.sendLanguages();
  }

  /** Emitted when a cell of any document uses a magic without the extension. */
  readonly missing = new Signal<this, { kernelComm: KernelComm; magic: string }>(this);

  private update(): void {
    const kernelComm = this.kernelComm();
    const found = kernelComm ? this.resolve(kernelComm) : NOTHING;
    if (found.kernelComm === this.now.kernelComm && found.state === this.now.state) return;
    this.now = found;
    this.changes.emit(found);
  }

  /** Return the `KernelComm` of the document in front; create it at first use. */
  private kernelComm(): KernelComm | null {
    const document = this.documents.current;
    if (!document) return null;
    const known = this.comms.get(document.widget);
    if (known) return known;
    const made = new KernelComm(document, this.languages);
    this.comms.set(document.widget, made);
    made.changed.connect(this.update, this);
    made.missing.connect((kernelComm, magic) => this.missing.emit({ kernelComm, magic }), this);
    document.widget.disposed.connect(() => {
      this.comms.delete(document.widget);
      made.dispose();
      this.update();
    }, this);
    return made;
  }

  /** Return the state to show. Another document may hold the kernel's widgets, as a notebook does for its console. */
  private resolve(kernelComm: KernelComm): TrackedState {
    const { state } = kernelComm;
    if (state.kind !== "shared") return { state, kernelComm };
    const holder = [...this.comms.values()].find(
      (each) => each.document.session.session?.kernel?.id === state.kernelId && each.state.kind !== "shared",
    );
    return holder ? { state: holder.state, kernelComm: holder } : { state, kernelComm };
  }
}

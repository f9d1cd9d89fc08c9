/** The notebook or console in which the user works. */

import type { JupyterFrontEnd } from "@jupyterlab/application";
import type { ISessionContext } from "@jupyterlab/apputils";
import type { Cell } from "@jupyterlab/cells";
import type { IConsoleTracker } from "@jupyterlab/console";
import { NotebookActions, type INotebookTracker } from "@jupyterlab/notebook";
import type { IRenderMimeRegistry } from "@jupyterlab/rendermime";
import type { IDisposable } from "@lumino/disposable";
import { Signal, type ISignal } from "@lumino/signaling";
import type { Widget } from "@lumino/widgets";

/** A document with a kernel. */
export interface KernelDocument {
  /** The notebook or console itself. */
  readonly widget: Widget;
  readonly session: ISessionContext;
  /** The renderer for the kernel's outputs, widgets included. */
  readonly rendermime: IRenderMimeRegistry;
  /** Put a source into a new cell, or into the prompt of a console. */
  insert(source: string): void;
  /** The active code cell, or the prompt of a console. */
  readonly cell: Cell | null;
  /** Put the cursor into that cell. */
  edit(): void;
}

/**
 * The document in front: the notebook or console that was used last. A click in the side panel does not change it, nor
 * does a text file: you still want to see your kernel next to it.
 */
export class Documents implements IDisposable {
  private readonly changes = new Signal<this, KernelDocument | null>(this);
  private latest: KernelDocument | null = null;

  constructor(
    private readonly shell: JupyterFrontEnd.IShell,
    private readonly notebooks: INotebookTracker | null,
    private readonly consoles: IConsoleTracker | null,
  ) {
    shell.currentChanged?.connect(this.update, this);
    notebooks?.currentChanged.connect(this.update, this);
    consoles?.currentChanged.connect(this.update, this);
    this.update();
  }

  /** Emitted when another document is in front. */
  get changed(): ISignal<this, KernelDocument | null> {
    return this.changes;
  }

  get current(): KernelDocument | null {
    return this.latest;
  }

  get isDisposed(): boolean {
    return this.disposed;
  }
  private disposed = false;

  dispose(): void {
    this.disposed = true;
    Signal.clearData(this);
  }

  /** Return the document that contains an element, else the one in front. */
  findAround(element: EventTarget | null): KernelDocument | null {
    const inside = (each: Widget) => element instanceof Node && each.node.contains(element);
    return this.document(this.notebooks?.find(inside) ?? this.consoles?.find(inside)) ?? this.latest;
  }

  private update(): void {
    const front = this.document(this.shell.currentWidget);
    const before = this.latest?.widget.isDisposed ? null : this.latest;
    const next =
      front ??
      before ??
      this.document(this.notebooks?.currentWidget) ??
      this.document(this.consoles?.currentWidget);
    if (next?.widget === this.latest?.widget) return;
    this.latest = next;
    next?.widget.disposed.connect(this.update, this);
    this.changes.emit(next);
  }

  private document(widget: Widget | null | undefined): KernelDocument | null {
    if (!widget || widget.isDisposed) return null;
    const notebook = this.notebooks?.find((each) => each === widget);
    if (notebook) {
      const { sessionContext: session, content } = notebook;
      const insert = (source: string) => {
        NotebookActions.insertBelow(content);
        content.activeCell?.model.sharedModel.setSource(source);
        content.activate();
      };
      const edit = () => {
        content.mode = "edit";
        content.activate();
      };
      return {
        widget,
        session,
        rendermime: content.rendermime,
        insert,
        edit,
        get cell() {
          const active = content.activeCell;
          return active?.model.type === "code" ? active : null;
        },
      };
    }
    const found = this.consoles?.find((each) => each === widget);
    if (!found) return null;
    const { sessionContext: session, console } = found;
    const insert = (source: string) => {
      console.promptCell?.model.sharedModel.setSource(source);
      found.activate();
    };
    return {
      widget,
      session,
      rendermime: console.rendermime,
      insert,
      edit: () => found.activate(),
      get cell() {
        return console.promptCell;
      },
    };
  }
}

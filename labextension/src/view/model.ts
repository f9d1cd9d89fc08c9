/** The widget's model, as anywidget passes it. */

import type { KernelMessage } from "./protocol";

export interface Model {
  get(name: "language" | "static_text"): string;
  /** The manager of the page's widgets; without a kernel, the page shows a saved model. */
  readonly widget_manager?: { kernel?: unknown };
  send(content: unknown): void;
  on(event: "msg:custom", callback: (message: KernelMessage) => void): void;
  on(event: "comm_live_update" | "change:language", callback: () => void): void;
  off(event: string, callback: unknown): void;
}

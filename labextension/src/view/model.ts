/** The widget's model, as anywidget passes it. */

import type { KernelMessage } from "./protocol";

/** The page's connection to the kernel, where it has this function, as in JupyterLab. */
export interface PageKernel {
  requestCommInfo?(content: { target_name: string }): Promise<{ content: { comms?: object } }>;
}

export interface Model {
  get(name: "language" | "static_text" | "comm_id"): string;
  /** The manager of the page's widgets; without a kernel, the page shows a saved model. */
  readonly widget_manager?: { kernel?: PageKernel };
  send(content: unknown): void;
  on(event: "msg:custom", callback: (message: KernelMessage) => void): void;
  on(event: "comm_live_update" | "change:language", callback: () => void): void;
  off(event: string, callback: unknown): void;
}

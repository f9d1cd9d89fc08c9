/** The states of the side panel: the widget, or a reason why there is none. */

/** The kernel's summary for the status bar, as `sspcloud_magics/widgets/side_panel.py` makes it. */
export interface Summary {
  /** The number of forwards, and of those in trouble. */
  forwards: number;
  troubled: number;
  /** The expiry of the login, in seconds since 1970; null if unknown. */
  ends: number | null;
  /** The database that `%query_db` uses, if several are connected. */
  database: string | null;
}

export type State =
  /** No notebook and no console is open. */
  | { kind: "no-document" }
  /** The document has no kernel. */
  | { kind: "no-kernel" }
  /** The kernel starts or restarts. */
  | { kind: "starting" }
  /** The kernel has died. */
  | { kind: "dead" }
  /** The connection to the kernel is lost; JupyterLab tries to get it back. */
  | { kind: "disconnected" }
  /** The kernel runs another language than Python. */
  | { kind: "foreign"; language: string }
  /** The plugin has just asked the kernel. */
  | { kind: "asking" }
  /** The kernel does not reply. */
  | { kind: "busy" }
  /** The extension is not loaded. */
  | { kind: "not-loaded" }
  /** The extension is loading; `queued` if a cell still runs. */
  | { kind: "loading"; queued: boolean }
  /** The kernel's environment has no such package. */
  | { kind: "not-installed" }
  /** The kernel's package is from before the side panel. */
  | { kind: "outdated" }
  /** Loading it failed. */
  | { kind: "failed"; reason: string }
  /** Another document holds the widgets of the same kernel. */
  | { kind: "shared"; kernelId: string }
  /** This JupyterLab cannot show widgets. */
  | { kind: "no-widgets" }
  | { kind: "live"; modelId: string; language: string; summary: Summary };

export type Kind = State["kind"];

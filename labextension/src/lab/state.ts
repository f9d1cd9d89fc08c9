/** What the side panel can show: the widget, or one of the reasons why there is none. */

/** What the kernel says of itself for the status bar, as `sspcloud_magics/widgets/side_panel.py` makes it. */
export interface Summary {
  /** How many forwards there are, and how many of them are in trouble. */
  forwards: number;
  troubled: number;
  /** When the login ends, in seconds since 1970; null where nobody knows. */
  ends: number | null;
  /** The database that `%query_db` asks, where several are connected. */
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
  /** The kernel speaks another language than Python. */
  | { kind: "foreign"; language: string }
  /** The kernel was asked a moment ago. */
  | { kind: "asking" }
  /** It was asked, and says nothing. */
  | { kind: "busy" }
  /** The extension is not loaded. */
  | { kind: "not-loaded" }
  /** It is being loaded; `queued` where the kernel has not come to it yet. */
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
  | { kind: "live"; modelId: string; summary: Summary };

export type Kind = State["kind"];

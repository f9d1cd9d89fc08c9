/** The dialogs over the panel. */
export type Dialog =
  | { kind: "login" }
  | { kind: "namespace" }
  | { kind: "log" | "events"; pod: string }
  | { kind: "share"; database: string }
  | { kind: "shareService"; service: string }
  | { kind: "tables"; database: string };

/** The dialogs over the panel. */
export type Dialog =
  | { kind: "login" }
  | { kind: "namespace" }
  | { kind: "share"; database: string }
  | { kind: "tables"; database: string };

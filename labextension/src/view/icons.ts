/** The icons of buttons, in the colour of the text. */

import { cls, h } from "./dom";

/** Paths on a grid of 16 pixels, drawn as lines of 1.5. */
const PATHS = {
  close: "M4 4l8 8m0-8-8 8",
  connect: "M6 2v4m4-4v4M4.5 6h7v2a3.5 3.5 0 0 1-7 0zM8 11.5V14",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  disconnect: "M6 2v3m4-3v3M4.5 6h7v2a3.5 3.5 0 0 1-7 0zM8 11.5V14M2.5 13.5l11-11",
  events: "M8 2.5a5.5 5.5 0 1 0 .01 0M8 5v3.2l2 1.3",
  lines: "M3 4h10M3 8h10M3 12h6",
  log: "M9 3h4.5v10H9M2.5 8H10M7 5l3 3-3 3",
  more: "M3.5 8h.01M8 8h.01M12.5 8h.01",
  open: "M9.5 2.5h4v4M13.5 2.5 7.5 8.5M11.5 9.5v4h-9v-9h4",
  query: "M2.5 4.5 6 8l-3.5 3.5M8 12h5.5",
  renew: "M13 8a5 5 0 1 1-1.5-3.5M12 1.5v3.2H8.8",
  share: "M11 5a2 2 0 1 0 0-.01M5 8a2 2 0 1 0 0-.01M11 11a2 2 0 1 0 0-.01M6.7 7.1l2.7-1.5M6.7 8.9l2.7 1.5",
  stop: "M4 4h8v8H4z",
  swap: "M3 5.5h9.5M10 3l2.5 2.5L10 8M13 10.5H3.5M6 8l-2.5 2.5L6 13",
  tables: "M2.5 3h11v10h-11zM2.5 6.5h11M6.5 6.5V13",
};

export type IconName = keyof typeof PATHS;

export function icon(name: IconName): HTMLElement {
  return h(
    "svg",
    { viewBox: "0 0 16 16", class: cls("icon"), "data-icon": name, "aria-hidden": "true" },
    h("path", { d: PATHS[name] }),
  );
}

/** The layout of the whole panel: who you are, data, network, practice cluster. */

import { cls, h, type Content } from "./dom";
import type { ViewContext } from "./context";
import { banner } from "./sections/banner";
import { databases } from "./sections/databases";
import { forwards } from "./sections/forwards";
import { header } from "./sections/header";
import { sandbox } from "./sections/sandbox";
import { shares } from "./sections/shares";
import { pods, services } from "./sections/workloads";
import { t } from "./context";

/** The sections of which each is rendered alone when its filter changes. */
export const SECTIONS: Partial<Record<string, (context: ViewContext) => HTMLElement>> = {
  forwards,
  pods,
  services,
  shares,
};

export function layout(context: ViewContext): HTMLElement {
  const { hasSnapshot, ended } = context.store;
  return h(
    "div",
    { class: cls("body"), lang: context.language },
    header(context),
    banner(context),
    hasSnapshot && !ended && sections(context),
  );
}

function sections(context: ViewContext): Content {
  const { store } = context;
  const source = store.get("source", "who");
  const isKnown = store.single("who") !== undefined;
  const isRefused = source !== undefined && source !== true;
  const hasCluster = isKnown && !isRefused;
  // The welcome starts it, too.
  const isWelcome = isRefused && source.code === "NotLoggedIn" && !hasSandbox(context);
  return [
    !isKnown &&
      !isRefused &&
      h("p", { class: cls("note", "asking"), "data-key": "asking" }, t(context, "asking")),
    h(
      "div",
      { class: cls("columns"), "data-key": "columns" },
      hasCluster &&
        h("div", { class: cls("column"), "data-key": "data" }, databases(context), shares(context)),
      h(
        "div",
        { class: cls("column"), "data-key": "network" },
        (hasCluster || store.all("forward").length > 0) && forwards(context),
        hasCluster && [services(context), pods(context)],
        !isWelcome && sandbox(context),
      ),
    ),
  ];
}

/** Whether the practice cluster runs, or keeps earlier work. */
function hasSandbox({ store }: ViewContext): boolean {
  const status = store.single("sandbox");
  return status !== undefined && (status.running || status.keeps === true);
}

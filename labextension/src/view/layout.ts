/** The layout of the whole panel, from header to sandbox. */

import { cls, h, type Content } from "./dom";
import type { ViewContext } from "./context";
import { banner } from "./sections/banner";
import { databases } from "./sections/databases";
import { forwards } from "./sections/forwards";
import { header } from "./sections/header";
import { sandbox } from "./sections/sandbox";
import { settings } from "./sections/settings";
import { shares } from "./sections/shares";
import { pods, services } from "./sections/workloads";
import { t } from "./context";

export function layout(context: ViewContext): HTMLElement {
  const { hasSnapshot, ended } = context.store;
  return h(
    "div",
    { class: cls("body"), lang: context.language },
    header(context),
    banner(context),
    hasSnapshot && !ended && [sections(context), settings(context)],
  );
}

function sections(context: ViewContext): Content {
  const { store } = context;
  const source = store.get("source", "who");
  const known = store.single("who") !== undefined;
  const hopeless = source !== undefined && source !== true;
  const cluster = known && !hopeless;
  return [
    (cluster || store.all("forward").length > 0) && forwards(context),
    !known && !hopeless && h("p", { class: cls("note"), "data-key": "asking" }, t(context, "asking")),
    cluster &&
      h(
        "div",
        { class: cls("columns"), "data-key": "columns" },
        h("div", { class: cls("column") }, services(context), pods(context)),
        h("div", { class: cls("column") }, databases(context), shares(context)),
      ),
    sandbox(context),
  ];
}

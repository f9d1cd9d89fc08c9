/** The whole panel, drawn anew from what is known. */

import { cls, h, type Content } from "./dom";
import type { Scene } from "./scene";
import { banner } from "./sections/banner";
import { databases } from "./sections/databases";
import { forwards } from "./sections/forwards";
import { header } from "./sections/header";
import { sandbox } from "./sections/sandbox";
import { shares } from "./sections/shares";
import { pods, services } from "./sections/things";
import { t } from "./scene";

export function body(scene: Scene): HTMLElement {
  const { told, ended } = scene.store;
  return h(
    "div",
    { class: cls("body"), lang: scene.language },
    header(scene),
    banner(scene),
    told && !ended && sections(scene),
  );
}

function sections(scene: Scene): Content {
  const { store } = scene;
  const look = store.get("look", "who");
  const known = store.one("who") !== undefined;
  const hopeless = look !== undefined && look !== true;
  const cluster = known && !hopeless;
  return [
    (cluster || store.all("forward").length > 0) && forwards(scene),
    !known && !hopeless && h("p", { class: cls("note"), "data-key": "asking" }, t(scene, "asking")),
    cluster &&
      h(
        "div",
        { class: cls("columns"), "data-key": "columns" },
        h("div", { class: cls("column") }, services(scene), pods(scene)),
        h("div", { class: cls("column") }, databases(scene), shares(scene)),
      ),
    sandbox(scene),
  ];
}

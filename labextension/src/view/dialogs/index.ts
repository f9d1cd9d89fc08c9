/** What opens over the panel: one dialog at a time, drawn anew like everything else. */

import { cls, h, type Content } from "../dom";
import { plainButton } from "../pieces";
import { t, type Scene } from "../scene";
import { login } from "./login";
import { namespaces } from "./namespaces";
import { share } from "./share";
import { tables } from "./tables";

export type Dialog =
  | { kind: "login" }
  | { kind: "namespace" }
  | { kind: "share"; database: string }
  | { kind: "tables"; database: string };

/** The open dialog: its heading, and what stands in it. */
export function dialog(scene: Scene): HTMLElement {
  const id = `${scene.id}-dialog`;
  const [heading, content] = scene.dialog ? inside(scene, scene.dialog) : ["", null];
  return h(
    "dialog",
    { class: cls("dialog"), "aria-labelledby": id, lang: scene.language },
    h(
      "header",
      { class: cls("dialoghead") },
      h("h3", { id }, heading),
      plainButton(h("span", { "aria-hidden": "true" }, "✕"), {
        class: cls("button", "quiet"),
        "data-close": "",
        "aria-label": t(scene, "close"),
      }),
    ),
    h("div", { class: cls("dialogbody"), "data-key": JSON.stringify(scene.dialog) }, content),
  );
}

function inside(scene: Scene, open: Dialog): [string, Content] {
  switch (open.kind) {
    case "login":
      return [t(scene, "logInTitle"), login(scene)];
    case "namespace":
      return [t(scene, "switchNamed"), namespaces(scene)];
    case "share":
      return [t(scene, "shareNamed", { name: open.database }), share(scene, open.database)];
    case "tables":
      return [t(scene, "tablesNamed", { name: open.database }), tables(scene, open.database)];
  }
}

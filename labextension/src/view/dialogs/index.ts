/** The dialogs over the panel: one at a time, rendered again with each change. */

import { cls, h, type Content } from "../dom";
import { plainButton } from "../components";
import { t, type ViewContext } from "../context";
import type { Dialog } from "../dialog";
import { login } from "./login";
import { namespaces } from "./namespaces";
import { events, log } from "./pods";
import { share } from "./share";
import { shareService } from "./shareService";
import { tables } from "./tables";

/** The open dialog: its heading and its content. */
export function dialog(context: ViewContext): HTMLElement {
  const id = `${context.id}-dialog`;
  const [heading, content] = context.dialog ? dialogContent(context, context.dialog) : ["", null];
  return h(
    "dialog",
    { class: cls("dialog"), "aria-labelledby": id, lang: context.language },
    h(
      "header",
      { class: cls("dialoghead") },
      h("h3", { id }, heading),
      plainButton(h("span", { "aria-hidden": "true" }, "✕"), {
        class: cls("button", "quiet"),
        "data-close": "",
        "aria-label": t(context, "close"),
      }),
    ),
    h("div", { class: cls("dialogbody"), "data-key": JSON.stringify(context.dialog) }, content),
  );
}

function dialogContent(context: ViewContext, open: Dialog): [string, Content] {
  switch (open.kind) {
    case "login":
      return [t(context, "logInTitle"), login(context)];
    case "namespace":
      return [t(context, "switchNamed"), namespaces(context)];
    case "log":
      return [t(context, "logNamed", { name: open.pod }), log(context, open.pod)];
    case "events":
      return [t(context, "eventsNamed", { name: open.pod }), events(context, open.pod)];
    case "share":
      return [t(context, "shareNamed", { name: open.database }), share(context, open.database)];
    case "shareService":
      return [t(context, "shareNamed", { name: open.service }), shareService(context, open.service)];
    case "tables":
      return [t(context, "tablesNamed", { name: open.database }), tables(context, open.database)];
  }
}

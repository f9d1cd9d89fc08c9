import { cls, h, type Content } from "../dom";
import type { Who } from "../protocol";
import { timeLeft } from "../format";
import { keys } from "../keys";
import { dialogButton, faint, commandButton, outcome, prose, shape } from "../components";
import { t, type ViewContext } from "../context";

/** The user, the namespace, the server, and the configuration that they come from. */
export function header(context: ViewContext): HTMLElement {
  const who = context.store.single("who");
  return h(
    "header",
    { class: cls("header"), "data-key": "header" },
    mark(),
    h(
      "div",
      { class: cls("who") },
      h("strong", {}, who ? who.user || t(context, "unnamed") : "SSPCloud"),
      who &&
        h(
          "div",
          { class: cls("facts") },
          fact(t(context, "namespace"), who.namespace, " ", switchButton(context)),
          fact(t(context, "right"), t(context, `role.${who.role}`)),
          fact(t(context, "server"), who.server),
          fact(t(context, "source"), who.source),
        ),
      who && login(context, who),
      who?.unverified &&
        h("p", { class: cls("step") }, shape("waiting", "▲"), " ", prose(t(context, "unverified"))),
    ),
  );
}

function switchButton(context: ViewContext): HTMLElement {
  const label = { class: cls("button", "quiet"), "aria-label": t(context, "switchNamed") };
  return dialogButton(context, "switch", { kind: "namespace" }, label);
}

/** The expiry of the login, and its renewal. */
function login(context: ViewContext, who: Who): HTMLElement {
  const now = Date.now() / 1000;
  const over = who.ends !== null && who.ends <= now;
  const soon = who.ends !== null && who.ends - now < SOON;
  return h(
    "div",
    { class: cls("row", "login"), "data-key": "login" },
    who.ends !== null &&
      h(
        "span",
        { class: cls("number") },
        shape(over ? "bad" : soon ? "waiting" : "good"),
        " ",
        t(context, over ? "loginEnded" : "loginEnds", { left: timeLeft(who.ends, now, context.language) }),
      ),
    who.renews && faint(t(context, "renewsItself")),
    who.renewable && commandButton(context, t(context, "renew"), keys.renew, { do: "renew" }, quiet),
    !who.remote && dialogButton(context, "logIn", { kind: "login" }, quiet),
    outcome(context, keys.renew),
  );
}

/** Seconds before the expiry of the login from which the panel warns. */
const SOON = 3600;
const quiet = { class: cls("button", "quiet") };

function fact(label: string, ...content: Content[]): HTMLElement {
  return h("span", { class: cls("fact") }, h("span", { class: cls("faint") }, label, " "), content);
}

function mark(): HTMLElement {
  return h(
    "svg",
    { viewBox: "0 0 24 24", class: cls("mark"), "aria-hidden": "true" },
    h("path", {
      d: "M7 18.5h10.2a4.3 4.3 0 0 0 .5-8.6A6 6 0 0 0 6.2 10 4.3 4.3 0 0 0 7 18.5Z",
      class: cls("cloud"),
    }),
    h("path", { d: "M12 21.5v-8m-2.8 2.6 2.8-2.8 2.8 2.8", class: cls("arrow") }),
  );
}

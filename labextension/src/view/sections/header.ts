import { cls, h, type Content } from "../dom";
import type { Who } from "../facts";
import { left } from "../format";
import { keys } from "../orders";
import { dialogButton, faint, orderButton, outcome, prose, shape } from "../pieces";
import { t, type Scene } from "../scene";

/** Who one is, where, and which configuration says so. */
export function header(scene: Scene): HTMLElement {
  const who = scene.store.one("who");
  return h(
    "header",
    { class: cls("header"), "data-key": "header" },
    mark(),
    h(
      "div",
      { class: cls("who") },
      h("strong", {}, who ? who.user || t(scene, "unnamed") : "SSPCloud"),
      who &&
        h(
          "div",
          { class: cls("facts") },
          fact(t(scene, "namespace"), who.namespace, " ", switchButton(scene)),
          fact(t(scene, "right"), t(scene, `role.${who.role}`)),
          fact(t(scene, "server"), who.server),
          fact(t(scene, "source"), who.source),
        ),
      who && login(scene, who),
      who?.unverified &&
        h("p", { class: cls("step") }, shape("waiting", "▲"), " ", prose(t(scene, "unverified"))),
    ),
  );
}

function switchButton(scene: Scene): HTMLElement {
  const label = { class: cls("button", "quiet"), "aria-label": t(scene, "switchNamed") };
  return dialogButton(scene, "switch", { kind: "namespace" }, label);
}

/** Until when the login is good, and how it goes on. */
function login(scene: Scene, who: Who): HTMLElement {
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
        t(scene, over ? "loginEnded" : "loginEnds", { left: left(who.ends, now, scene.language) }),
      ),
    who.renews && faint(t(scene, "renewsItself")),
    who.renewable && orderButton(scene, t(scene, "renew"), keys.renew, { do: "renew" }, quiet),
    !who.remote && dialogButton(scene, "logIn", { kind: "login" }, quiet),
    outcome(scene, keys.renew),
  );
}

/** Seconds before its end from which on a login is said to end soon. */
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

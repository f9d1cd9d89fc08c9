import { cls, h, type Content } from "../dom";
import type { Who } from "../protocol";
import { timeLeft } from "../format";
import { keys } from "../keys";
import { commandButton, dialogButton, outcome, plainButton, prose, shape } from "../components";
import { icon } from "../icons";
import { t, type ViewContext } from "../context";
import { settings } from "./settings";

/** Seconds before the expiry of the login from which the panel warns. */
const SOON = 3600;
const quiet = { class: cls("button", "quiet") };

/** The title; who and where in one line; the technical facts folded. */
export function header(context: ViewContext): HTMLElement {
  const who = context.store.single("who");
  return h(
    "header",
    { class: cls("header"), "data-key": "header" },
    h("h2", { class: cls("panelname") }, logo(), "SSPCloud"),
    who && identity(context, who),
    context.store.hasSnapshot && !context.store.ended && details(context, who),
    outcome(context, keys.renew),
  );
}

function identity(context: ViewContext, who: Who): HTMLElement {
  return h(
    "p",
    { class: cls("who"), "data-key": "who" },
    h(
      "span",
      {},
      h("strong", {}, who.user || t(context, "unnamed")),
      h("span", { class: cls("faint") }, ` ${t(context, "in")} `),
      who.namespace,
      !context.store.ended && switchButton(context),
    ),
    expiry(context, who),
    who.unverified && warning(context),
  );
}

function switchButton(context: ViewContext): HTMLElement {
  const label = t(context, "switchNamed");
  return plainButton(icon("swap"), {
    class: cls("button", "iconbutton"),
    title: label,
    "aria-label": label,
    "aria-haspopup": "dialog",
    "data-dialog": JSON.stringify({ kind: "namespace" }),
    "data-key": "switch",
  });
}

/** The expiry of the login, if it is near. */
function expiry(context: ViewContext, who: Who): Content {
  const now = Date.now() / 1000;
  if (who.ends === null || who.ends - now >= SOON) return null;
  const over = who.ends <= now;
  const left = timeLeft(who.ends, now, context.language);
  return h(
    "span",
    { class: cls("expiry"), "data-key": "expiry" },
    shape(over ? "bad" : "waiting"),
    " ",
    t(context, over ? "loginEnded" : "loginEnds", { left }),
    !who.remote && dialogButton(context, "logIn", { kind: "login" }, quiet),
  );
}

function warning(context: ViewContext): HTMLElement {
  return h(
    "span",
    { class: cls("warning"), title: t(context, "unverified"), "data-key": "warning" },
    shape("waiting", "▲"),
    " ",
    t(context, "unverifiedShort"),
  );
}

function details(context: ViewContext, who: Who | undefined): HTMLElement {
  return h(
    "details",
    { class: cls("facts"), "data-key": "facts" },
    h("summary", {}, t(context, "details")),
    who && [
      fact(context, "right", t(context, `role.${who.role}`)),
      fact(context, "server", who.server),
      who.source && fact(context, "source", who.source),
      fact(context, "login", ...login(context, who)),
      who.unverified &&
        h("p", { class: cls("step") }, shape("waiting", "▲"), " ", prose(t(context, "unverified"))),
    ],
    settings(context),
  );
}

/** The expiry of the login, and its renewal. */
function login(context: ViewContext, who: Who): Content[] {
  const now = Date.now() / 1000;
  const over = who.ends !== null && who.ends <= now;
  const left = who.ends === null ? "" : timeLeft(who.ends, now, context.language);
  return [
    who.ends !== null && `${t(context, over ? "loginEnded" : "loginEnds", { left })} `,
    who.renews && `${t(context, "renewsItself")} `,
    who.renewable && commandButton(context, t(context, "renew"), keys.renew, { do: "renew" }, quiet),
    !who.remote && dialogButton(context, "logInAgain", { kind: "login" }, quiet),
  ];
}

function fact(context: ViewContext, word: string, ...content: Content[]): HTMLElement {
  return h(
    "p",
    { class: cls("fact"), "data-key": word },
    h("span", { class: cls("faint") }, t(context, word), " "),
    content,
  );
}

/** A cloud with a door: what is inside is within reach. */
function logo(): HTMLElement {
  return h(
    "svg",
    { viewBox: "0 0 24 24", class: cls("logo"), "aria-hidden": "true" },
    h("path", { d: "M7 18.5h10.2a4.3 4.3 0 0 0 .5-8.6A6 6 0 0 0 6.2 10 4.3 4.3 0 0 0 7 18.5Z" }),
    h("path", { d: "M9.5 14.5h.01M12 14.5h.01M14.5 14.5h.01", class: cls("dots") }),
  );
}

import { cls, h, type Content } from "../dom";
import type { ErrorMessage } from "../protocol";
import { keys } from "../keys";
import { commandButton, dialogButton, outcome, SILENT, trouble } from "../components";
import { t, type ViewContext } from "../context";

/** Errors that a login fixes, with the title of their state. */
const LOG_IN = { TokenExpired: "loginOver", KubeconfigInvalid: "loginUnreadable" } as const;
/** The first user of the practice cluster that you act as. */
const FIRST_PERSON = "alice";
const main = { class: cls("button", "main") };

/** The reason for an empty panel: the kernel has ended or is silent, or the cluster refuses requests. */
export function banner(context: ViewContext): HTMLElement | null {
  const { store } = context;
  if (store.ended) return bannerBox("alert", h("p", {}, t(context, "gone")));
  if (!store.hasSnapshot) return withoutSnapshot(context);
  const told = store.get("source", "who");
  if (!told || told === true) return null;
  if (told.code === "NotLoggedIn") return welcome(context, told);
  if (told.code in LOG_IN) return logInAgain(context, told, told.code as keyof typeof LOG_IN);
  return bannerBox("alert", trouble(context, told), h("div", { class: cls("row") }, retry(context)));
}

/** A login that has ended or cannot be read is an ordinary state: what happened, and the way out. */
function logInAgain(context: ViewContext, told: ErrorMessage, code: keyof typeof LOG_IN): HTMLElement {
  return h(
    "div",
    { class: cls("banner", "welcome"), role: "status", "data-key": "banner" },
    h("h3", {}, t(context, LOG_IN[code])),
    h("p", {}, t(context, `step.${code}`)),
    h("div", { class: cls("row") }, dialogButton(context, "logIn", { kind: "login" }, main)),
    why(context, told),
  );
}

/** A silent kernel; or no kernel, as in a saved page: what the panel showed. */
function withoutSnapshot(context: ViewContext): HTMLElement {
  const isSilent = Date.now() - context.began > SILENT;
  const was =
    (isSilent || !context.hasKernel) &&
    context.staticText.split("\n").map((line) => h("p", { class: cls("faint") }, line));
  const sentence = context.hasKernel ? (isSilent ? "silent" : "loading") : "saved";
  return bannerBox(null, h("p", {}, t(context, sentence)), was);
}

/** The first contact: two ways to begin. Nothing is wrong, so nothing is red. */
function welcome(context: ViewContext, told: ErrorMessage): HTMLElement {
  const sandbox = context.store.single("sandbox");
  const begin = sandbox?.running
    ? commandButton(context, t(context, "tryIt"), keys.actAs(FIRST_PERSON), {
        do: "act_as",
        person: FIRST_PERSON,
      })
    : commandButton(context, t(context, "tryIt"), keys.startSandbox, { do: "start_sandbox" });
  return h(
    "div",
    { class: cls("banner", "welcome"), "data-key": "welcome" },
    h("h3", {}, t(context, "welcome")),
    h("p", {}, t(context, "welcomeText")),
    h(
      "div",
      { class: cls("row") },
      dialogButton(context, "haveAccount", { kind: "login" }, main),
      sandbox && begin,
    ),
    why(context, told),
    outcome(context, keys.startSandbox),
    outcome(context, keys.actAs(FIRST_PERSON)),
  );
}

function why(context: ViewContext, told: ErrorMessage): HTMLElement {
  return h(
    "details",
    { class: cls("details"), "data-key": "why" },
    h("summary", {}, t(context, "whyWelcome")),
    h("p", {}, told.what),
    told.why && h("p", {}, told.why),
    retry(context),
  );
}

function retry(context: ViewContext): HTMLElement {
  return commandButton(context, t(context, "retry"), keys.refresh, { do: "refresh" });
}

function bannerBox(role: string | null, ...content: Content[]): HTMLElement {
  return h("div", { class: cls("banner"), role, "data-key": "banner" }, content);
}

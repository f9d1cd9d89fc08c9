import { cls, h, type Content } from "../dom";
import type { ErrorMessage } from "../protocol";
import { keys } from "../keys";
import { commandButton, dialogButton, outcome, SILENT, trouble } from "../components";
import { t, type ViewContext } from "../context";

/** Errors that a login fixes. */
const LOG_IN = ["NotLoggedIn", "TokenExpired", "KubeconfigInvalid"];
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
  return bannerBox(
    "alert",
    trouble(context, told),
    h(
      "div",
      { class: cls("row") },
      LOG_IN.includes(told.code) && dialogButton(context, "logIn", { kind: "login" }, main),
      commandButton(context, t(context, "retry"), keys.refresh, { do: "refresh" }),
    ),
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
    h(
      "details",
      { class: cls("details"), "data-key": "why" },
      h("summary", {}, t(context, "whyWelcome")),
      h("p", {}, told.what),
      told.why && h("p", {}, told.why),
      commandButton(context, t(context, "retry"), keys.refresh, { do: "refresh" }),
    ),
    outcome(context, keys.startSandbox),
    outcome(context, keys.actAs(FIRST_PERSON)),
  );
}

function bannerBox(role: string | null, ...content: Content[]): HTMLElement {
  return h("div", { class: cls("banner"), role, "data-key": "banner" }, content);
}

import { cls, h, type Content } from "../dom";
import { keys } from "../keys";
import { dialogButton, commandButton, SILENT, trouble } from "../components";
import { t, type ViewContext } from "../context";

/** Errors that a login fixes. */
const LOG_IN = ["NotLoggedIn", "TokenExpired", "KubeconfigInvalid"];
const main = { class: cls("button", "main") };

/** The reason for an empty panel: the kernel has ended or is silent, or the cluster refuses requests. */
export function banner(context: ViewContext): HTMLElement | null {
  const { store } = context;
  if (store.ended) return bannerBox("alert", h("p", {}, t(context, "gone")));
  if (!store.hasSnapshot) {
    return bannerBox(
      null,
      h("p", {}, t(context, Date.now() - context.began > SILENT ? "silent" : "loading")),
    );
  }
  const told = store.get("source", "who");
  if (!told || told === true) return null;
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

function bannerBox(role: string | null, ...content: Content[]): HTMLElement {
  return h("div", { class: cls("banner"), role, "data-key": "banner" }, content);
}

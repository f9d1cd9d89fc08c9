import { cls, h, type Content } from "../dom";
import { keys } from "../orders";
import { dialogButton, orderButton, SILENT, trouble } from "../pieces";
import { t, type Scene } from "../scene";

/** What logging in mends. */
const LOG_IN = ["NotLoggedIn", "TokenExpired", "KubeconfigInvalid"];
const main = { class: cls("button", "main") };

/** Why there is nothing to see: the kernel has ended or is silent, or the cluster cannot be asked. */
export function banner(scene: Scene): HTMLElement | null {
  const { store } = scene;
  if (store.ended) return said("alert", h("p", {}, t(scene, "gone")));
  if (!store.told) {
    return said(null, h("p", {}, t(scene, Date.now() - scene.began > SILENT ? "silent" : "loading")));
  }
  const told = store.get("look", "who");
  if (!told || told === true) return null;
  return said(
    "alert",
    trouble(scene, told),
    h(
      "div",
      { class: cls("row") },
      LOG_IN.includes(told.code) && dialogButton(scene, "logIn", { kind: "login" }, main),
      orderButton(scene, t(scene, "retry"), keys.lookAgain, { do: "look again" }),
    ),
  );
}

function said(role: string | null, ...content: Content[]): HTMLElement {
  return h("div", { class: cls("banner"), role, "data-key": "banner" }, content);
}

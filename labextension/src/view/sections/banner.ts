import { cls, h, type Content } from "../dom";
import { keys } from "../orders";
import { orderButton, SILENT, trouble } from "../pieces";
import { t, type Scene } from "../scene";

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
    orderButton(scene, t(scene, "retry"), keys.lookAgain, { do: "look again" }),
  );
}

function said(role: string | null, ...content: Content[]): HTMLElement {
  return h("div", { class: cls("banner"), role, "data-key": "banner" }, content);
}

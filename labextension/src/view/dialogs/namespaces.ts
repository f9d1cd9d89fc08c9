import { cls, h, type Content } from "../dom";
import { keys } from "../orders";
import { field, orderButton, outcome, submitButton } from "../pieces";
import { t, type Scene } from "../scene";

/** Another namespace: one that was used, or any by its name. */
export function namespaces(scene: Scene): Content {
  const who = scene.store.one("who");
  const used = (who?.namespaces ?? []).map((namespace) =>
    orderButton(
      scene,
      namespace,
      `${keys.namespace} ${namespace}`,
      { do: "namespace", namespace },
      { "aria-pressed": String(namespace === who?.namespace) },
    ),
  );
  return [
    h("p", {}, t(scene, "switchHow")),
    h("div", { class: cls("row"), role: "group", "aria-label": t(scene, "namespace") }, used),
    h(
      "form",
      { class: cls("stack"), "data-form": "namespace" },
      field(scene, "namespace", "otherNamespace", { placeholder: "projet-x" }),
      h(
        "div",
        { class: cls("row") },
        submitButton(scene, "switch", keys.namespace, { class: cls("button", "main") }),
      ),
    ),
    outcome(scene, keys.namespace),
  ];
}

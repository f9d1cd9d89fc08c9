import { cls, h, type Content } from "../dom";
import { keys } from "../keys";
import { field, commandButton, outcome, submitButton } from "../components";
import { exampleGroup, t, type ViewContext } from "../context";

/** The namespace dialog: a recent namespace, or any by its name. */
export function namespaces(context: ViewContext): Content {
  const who = context.store.single("who");
  const used = (who?.namespaces ?? []).map((namespace) =>
    commandButton(
      context,
      namespace,
      `${keys.namespace} ${namespace}`,
      { do: "use_namespace", namespace },
      { "aria-pressed": String(namespace === who?.namespace) },
    ),
  );
  return [
    h("p", {}, t(context, "switchHow")),
    h("div", { class: cls("row"), role: "group", "aria-label": t(context, "namespace") }, used),
    h(
      "form",
      { class: cls("stack"), "data-form": "namespace" },
      field(context, "namespace", "otherNamespace", { placeholder: exampleGroup(context) }),
      h(
        "div",
        { class: cls("row") },
        submitButton(context, "switch", keys.namespace, { class: cls("button", "main") }),
      ),
    ),
    outcome(context, keys.namespace),
  ];
}

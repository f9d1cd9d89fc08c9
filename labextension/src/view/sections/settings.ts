import { cls, h } from "../dom";
import { outcome } from "../components";
import { t, type ViewContext } from "../context";
import { keys } from "../keys";

const LANGUAGES = ["", "en", "fr"];

/** The language of messages and of the panel. */
export function settings(context: ViewContext): HTMLElement {
  const id = `${context.id}-language`;
  const chosen = context.store.single("language")?.chosen ?? "";
  return h(
    "div",
    { class: cls("row", "settings"), "data-key": "settings" },
    h("label", { for: id, class: cls("faint") }, t(context, "language")),
    h(
      "select",
      { id, class: cls("input", "select"), "data-choice": "set_language" },
      LANGUAGES.map((code) =>
        h("option", { value: code, selected: code === chosen }, t(context, `language.${code || "auto"}`)),
      ),
    ),
    outcome(context, keys.language),
  );
}
